//! Whether a DaemonSet's pods can be scheduled on each node, with the taints and labels that real nodes have.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, Toleration};

use crate::cluster::NodeName;

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// The first node on which a pod with `spec` can't be scheduled, with the reason.
pub(super) fn unschedulable<'n>(
    spec: &PodSpec,
    nodes: &'n [NodeName],
) -> Option<(&'n NodeName, String)> {
    let tolerates = spec
        .tolerations
        .iter()
        .flatten()
        .any(tolerates_control_plane);
    nodes.iter().enumerate().find_map(|(index, node)| {
        let is_control_plane = index == 0;
        // In a cluster with one node, that node runs everything and has no taint.
        let is_tainted = is_control_plane && nodes.len() > 1;
        if is_tainted && !tolerates {
            let reason = format!("its taint {CONTROL_PLANE}:NoSchedule is not tolerated");
            return Some((node, reason));
        }
        let labels = labels(node, is_control_plane);
        let mut selector = spec.node_selector.iter().flatten();
        let (key, value) = selector.find(|(key, value)| labels.get(key.as_str()) != Some(value))?;
        Some((node, format!("it doesn't have the label {key}={value}")))
    })
}

fn tolerates_control_plane(toleration: &Toleration) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let value = toleration.value.as_deref().unwrap_or_default();
    let matches_key = match key {
        "" => exists,
        key => key == CONTROL_PLANE && (exists || value.is_empty()),
    };
    matches_key && matches!(effect, "" | "NoSchedule")
}

fn labels(node: &NodeName, is_control_plane: bool) -> BTreeMap<&'static str, String> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut labels = BTreeMap::from([
        ("kubernetes.io/os", "linux".to_owned()),
        ("kubernetes.io/arch", architecture.to_owned()),
        ("kubernetes.io/hostname", node.to_string()),
    ]);
    if is_control_plane {
        labels.insert(CONTROL_PLANE, String::new());
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_schedulable(tolerations: Option<Vec<Toleration>>, nodes: usize) -> bool {
        let spec = PodSpec {
            tolerations,
            ..PodSpec::default()
        };
        let nodes: Vec<NodeName> = (0..nodes).map(|n| NodeName::new(format!("n{n}"))).collect();
        unschedulable(&spec, &nodes).is_none()
    }

    #[test]
    fn the_taint_of_a_control_plane_with_workers_has_to_be_tolerated() {
        let everything = Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        };
        assert!(is_schedulable(None, 1));
        assert!(!is_schedulable(None, 3));
        assert!(is_schedulable(Some(vec![everything]), 3));
    }
}
