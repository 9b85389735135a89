//! Pure functions that find out why a DaemonSet places no pod on a node. The DaemonSet's controller reports the reason
//! neither in a condition nor in an event.

use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, PodSpec, Taint, Toleration};
use kube::ResourceExt;

use super::health::is_node_ready;
use super::wait::Suspicion;
use super::watch::Snapshot;
use crate::cluster::NodeName;
use crate::event::{Failure, Symptom};

/// The key of the label and of the taint of a control-plane node.
pub(crate) const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// How long the labels and taints of a new cluster may be incomplete.
const PATIENCE: Duration = Duration::from_secs(5);

/// The problem if `set` will never place a pod on some nodes, with the reasons. Examines only the ready nodes in
/// `without`, which contains the nodes that have no pod yet.
pub(super) fn of<'n>(
    snapshot: &Snapshot,
    set: &DaemonSet,
    without: impl Iterator<Item = &'n NodeName>,
) -> Option<Suspicion> {
    let spec = set.spec.template.spec.as_ref()?;
    let ready = without.filter_map(|name| {
        let node = snapshot.node(name.as_str());
        node.filter(|node| is_node_ready(node))
    });
    let reasons: Vec<String> = ready.filter_map(|node| mismatch(spec, node)).collect();
    if reasons.is_empty() {
        return None;
    }
    let (count, all) = (reasons.len(), snapshot.nodes.len());
    let message = format!(
        "the DaemonSet {} places no pod on {count} of {all} nodes: {}",
        set.name_any(),
        reasons.join("; "),
    );
    let failure = Failure::new(Symptom::Unschedulable, message);
    Some(Suspicion::new("placement", PATIENCE, failure))
}

/// Why a pod with `spec` doesn't match `node`. Call this only if the DaemonSet's controller has placed no pod on
/// `node`.
fn mismatch(spec: &PodSpec, node: &Node) -> Option<String> {
    let name = node.name_any();
    let taints = node.spec.iter().filter_map(|spec| spec.taints.as_ref());
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    if let Some(taint) = taints.flatten().find(|taint| repels(taint, tolerations)) {
        let value = taint.value.as_deref().unwrap_or_default();
        let (key, effect) = (&taint.key, &taint.effect);
        return Some(format!(
            "{name} has the untolerated taint {key}={value}:{effect}"
        ));
    }
    let mut wanted = spec.node_selector.iter().flatten();
    if let Some((key, value)) = wanted.find(|(key, value)| node.labels().get(*key) != Some(*value))
    {
        return Some(format!(
            "{name} lacks the label {key}={value} of the node selector"
        ));
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let terms = serde_json::to_string(&required.node_selector_terms).unwrap_or_default();
    Some(format!("{name} does not match the node affinity {terms}"))
}

/// Whether the taint repels a DaemonSet's pod with `tolerations`. A DaemonSet's pods always tolerate Kubernetes' own
/// taints.
pub(crate) fn repels(taint: &Taint, tolerations: &[Toleration]) -> bool {
    let is_hard = matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    let is_built_in = taint.key.starts_with("node.kubernetes.io/");
    is_hard
        && !is_built_in
        && !tolerations
            .iter()
            .any(|toleration| tolerates(toleration, taint))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration
        .effect
        .as_deref()
        .filter(|effect| !effect.is_empty());
    let key = toleration.key.as_deref().filter(|key| !key.is_empty());
    let value = toleration.value.as_deref().unwrap_or_default();
    effect.is_none_or(|effect| effect == taint.effect)
        && match toleration.operator.as_deref() {
            Some("Exists") => key.is_none_or(|key| key == taint.key),
            _ => key == Some(&taint.key) && value == taint.value.as_deref().unwrap_or_default(),
        }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::kubernetes::fixture::object;

    fn why(spec: &Value, taints: &Value) -> Option<String> {
        let mut spec = spec.clone();
        spec["containers"] = json!([]);
        let node = json!({"metadata": {"name": "worker"}, "spec": {"taints": taints}});
        mismatch(&object::<PodSpec>(&spec), &object::<Node>(&node))
    }

    #[test]
    fn taints_selectors_and_affinity_are_named() {
        let taint = json!([{"key": "a", "value": "b", "effect": "NoSchedule"}]);
        let says = |found: Option<String>, words: &str| {
            assert!(
                found.as_deref().is_some_and(|why| why.contains(words)),
                "{found:?}"
            );
        };
        says(why(&json!({}), &taint), "untolerated taint a=b:NoSchedule");
        for toleration in [
            json!({"operator": "Exists"}),
            json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"}),
            json!({"key": "a", "value": "b"}),
        ] {
            assert_eq!(why(&json!({"tolerations": [toleration]}), &taint), None);
        }
        let other = json!({"tolerations": [{"key": "a", "value": "c"}]});
        says(why(&other, &taint), "untolerated taint");
        let own = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
        assert_eq!(why(&json!({}), &own), None);
        let selector = json!({"nodeSelector": {"x": "y"}});
        says(why(&selector, &json!([])), "label x=y");
        let affinity = json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "Exists"}]},
            ]},
        }}});
        says(why(&affinity, &json!([])), "node affinity");
    }

    #[test]
    fn a_toleration_counts_if_effect_key_and_value_match() {
        let tolerated = |toleration: &Value, taint: &Value| {
            let (toleration, taint) = (object::<Toleration>(toleration), object::<Taint>(taint));
            tolerates(&toleration, &taint)
        };
        let taint = json!({"key": "a", "value": "b", "effect": "NoExecute"});
        for matching in [
            json!({"operator": "Exists", "effect": "NoExecute"}),
            json!({"operator": "Exists", "key": "", "effect": ""}),
            json!({"operator": "Equal", "key": "a", "value": "b"}),
        ] {
            assert!(tolerated(&matching, &taint), "{matching}");
        }
        for differs in [
            json!({"operator": "Exists", "effect": "NoSchedule"}),
            json!({"operator": "Exists", "key": "b"}),
            json!({"operator": "Equal", "key": "b", "value": "b"}),
            json!({"operator": "Equal", "key": "a"}),
            json!({"operator": "Equal", "value": "b"}),
        ] {
            assert!(!tolerated(&differs, &taint), "{differs}");
        }
        let without_value = json!({"key": "a", "effect": "NoExecute"});
        assert!(tolerated(&json!({"key": "a"}), &without_value));
    }

    #[test]
    fn only_taints_with_a_hard_effect_repel_pods() {
        let repelled = |effect: &str| {
            let taint = json!([{"key": "a", "effect": effect}]);
            why(&json!({}), &taint).is_some()
        };
        assert!(repelled("NoSchedule") && repelled("NoExecute"));
        assert!(!repelled("PreferNoSchedule"));
    }

    #[test]
    fn ready_nodes_without_a_pod_are_named_with_their_reasons() {
        let node = |name: &str, is_ready: &str| {
            let node = json!({
                "metadata": {"name": name},
                "spec": {"taints": [{"key": name, "effect": "NoSchedule"}]},
                "status": {"conditions": [{"type": "Ready", "status": is_ready}]},
            });
            object(&node)
        };
        let snapshot = Snapshot {
            nodes: vec![node("a", "True"), node("b", "False"), node("c", "True")],
            ..Snapshot::default()
        };
        let set = json!({
            "metadata": {"name": "plexd"},
            "spec": {"selector": {}, "template": {"spec": {"containers": []}}},
        });
        let set = object::<DaemonSet>(&set);
        let found = |without: &[&str]| {
            let without: Vec<_> = without.iter().copied().map(NodeName::new).collect();
            of(&snapshot, &set, without.iter())
        };
        let suspicion = found(&["b", "c", "unknown"]).unwrap();
        assert_eq!(suspicion.failure.symptom, Symptom::Unschedulable);
        assert_eq!(
            suspicion.failure.message,
            "the DaemonSet plexd places no pod on 1 of 3 nodes: c has the untolerated taint c=:NoSchedule"
        );
        assert!(found(&["b"]).is_none());
    }
}
