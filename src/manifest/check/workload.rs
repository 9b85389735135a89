//! Checks workloads: a selector must match the labels of its own template, and those of no other template.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::{Findings, pod, rbac};
use crate::manifest::{Object, names, selects};

pub(super) fn daemon_set(findings: &mut Findings<'_>) {
    let Some(typed) = findings.decode::<DaemonSet>() else {
        return;
    };
    let spec = typed.spec;
    check(findings, &spec.selector, &spec.template);
    rbac::agent(findings);
}

pub(super) fn deployment(findings: &mut Findings<'_>) {
    let Some(typed) = findings.decode::<Deployment>() else {
        return;
    };
    let spec = typed.spec;
    check(findings, &spec.selector, &spec.template);
    if findings.object.name == names::MOCK && spec.replicas.is_some_and(|replicas| replicas != 1) {
        let remedy = "set it to 1, because a single process must have all counters";
        findings.add("spec.replicas", "is not 1", remedy);
    }
}

fn check(findings: &mut Findings<'_>, selector: &LabelSelector, template: &PodTemplateSpec) {
    let labels = labels_of(template);
    let is_empty = selector.match_labels.iter().flatten().next().is_none()
        && selector.match_expressions.iter().flatten().next().is_none();
    if is_empty {
        findings.add(
            "spec.selector",
            "is empty",
            "set it to the labels of the template",
        );
    } else {
        if !selects(selector, &labels) {
            findings.add(
                "spec.selector",
                "does not match `spec.template.metadata.labels`",
                "set it to labels of the template",
            );
        }
        foreign_pods(findings, selector);
    }
    match &template.spec {
        Some(spec) => pod::check(findings, spec),
        None => findings.add("spec.template.spec", "is missing", "describe the pod there"),
    }
}

/// Reports other objects in the same namespace whose pods also match the selector, because nothing would distinguish
/// their pods from those of this object.
fn foreign_pods(findings: &mut Findings<'_>, selector: &LabelSelector) {
    let own = findings.object;
    let objects = findings.deployed.objects.iter();
    let others =
        objects.filter(|other| other.namespace == own.namespace && !other.is(&own.kind, &own.name));
    for other in others {
        if pod_labels(other).is_some_and(|labels| selects(selector, &labels)) {
            findings.add(
                "spec.selector",
                format!("also selects the pods of {}", other.title()),
                "use labels that only the pods of this template have",
            );
        }
    }
}

/// The labels of an object's pods, if it has pods. A template without containers, such as that of a `SealedSecret`, isn't
/// for pods.
pub(super) fn pod_labels(object: &Object) -> Option<BTreeMap<String, String>> {
    object.value.pointer(object.pod_spec())?.get("containers")?;
    let pod = object.pod_spec().strip_suffix("/spec")?;
    let labels = object.value.pointer(&format!("{pod}/metadata/labels"))?;
    let labels = labels.as_object()?;
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    Some(labels.iter().filter_map(text).collect())
}

fn labels_of(template: &PodTemplateSpec) -> BTreeMap<String, String> {
    let metadata = template.metadata.clone().unwrap_or_default();
    metadata.labels.unwrap_or_default()
}
