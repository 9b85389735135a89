//! A workload and its template: the selector takes the pods it makes, and the labels are those that pods are found by.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{Deployed, Findings, pod};
use crate::manifest::names;

pub(super) fn daemon_set(findings: &mut Findings<'_>, deployed: &Deployed<'_>) {
    let Some(typed) = findings.decode::<DaemonSet>() else {
        return;
    };
    let spec = typed.spec;
    examine(findings, deployed, &spec.selector, &spec.template);
    expect_label(findings, &spec.template, names::AGENT);
}

pub(super) fn deployment(findings: &mut Findings<'_>, deployed: &Deployed<'_>) {
    let Some(typed) = findings.decode::<Deployment>() else {
        return;
    };
    let spec = typed.spec;
    examine(findings, deployed, &spec.selector, &spec.template);
    if findings.object.name == names::MOCK {
        expect_label(findings, &spec.template, names::MOCK);
        if spec.replicas.is_some_and(|replicas| replicas != 1) {
            let remedy = "set it to 1: the counters are in one process";
            findings.add("spec.replicas", "is not 1", remedy);
        }
    }
}

fn examine(
    findings: &mut Findings<'_>,
    deployed: &Deployed<'_>,
    selector: &LabelSelector,
    template: &PodTemplateSpec,
) {
    let labels = labels_of(template);
    let is_empty = selector.match_labels.iter().flatten().next().is_none()
        && selector.match_expressions.iter().flatten().next().is_none();
    if is_empty {
        findings.add(
            "spec.selector",
            "selects nothing",
            "name the labels of the template",
        );
    } else if !selects(selector, &labels) {
        findings.add(
            "spec.selector",
            "does not select the pods of its own template",
            "make selector and `spec.template.metadata.labels` agree",
        );
    }
    match &template.spec {
        Some(spec) => pod::examine(findings, deployed, spec),
        None => findings.add("spec.template.spec", "is missing", "describe the pod there"),
    }
}

/// Requires the label that the run finds the pods by.
fn expect_label(findings: &mut Findings<'_>, template: &PodTemplateSpec, value: &str) {
    if labels_of(template).get(names::LABEL).map(String::as_str) != Some(value) {
        findings.add(
            "spec.template.metadata.labels",
            format!("lacks `{}: {value}`", names::LABEL),
            "add the label: pods and their logs are found by it",
        );
    }
}

fn labels_of(template: &PodTemplateSpec) -> BTreeMap<String, String> {
    let metadata = template.metadata.as_ref();
    metadata
        .and_then(|metadata| metadata.labels.clone())
        .unwrap_or_default()
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let mut pairs = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    pairs.all(|(key, value)| labels.get(key) == Some(value))
        && expressions.all(|expression| meets(expression, labels))
}

fn meets(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let is_listed = || {
        let mut values = requirement.values.iter().flatten();
        value.is_some_and(|value| values.any(|listed| listed == value))
    };
    match requirement.operator.as_str() {
        "In" => is_listed(),
        "NotIn" => !is_listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
