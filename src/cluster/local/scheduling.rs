//! Whether a DaemonSet's pods can be scheduled on each node, given the taints and labels that nodes of a real cluster
//! have.

use k8s_openapi::api::core::v1::{PodSpec, Taint};

use crate::cluster::NodeName;
use crate::cluster::kubernetes::placement::{CONTROL_PLANE, repels};

/// The first node on which a pod with `spec` can't be scheduled, with the reason.
pub(super) fn unschedulable<'n>(
    spec: &PodSpec,
    nodes: &'n [NodeName],
) -> Option<(&'n NodeName, String)> {
    let taint = Taint {
        key: CONTROL_PLANE.to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    // In a cluster with one node, that node runs everything and has no taint.
    if nodes.len() > 1 && repels(&taint, tolerations) {
        let reason = format!("its taint {CONTROL_PLANE}:NoSchedule is not tolerated");
        return Some((&nodes[0], reason));
    }
    nodes.iter().enumerate().find_map(|(index, node)| {
        let label = |key: &str| label(node, index == 0, key);
        let mut selector = spec.node_selector.iter().flatten();
        let (key, value) = selector.find(|(key, value)| label(key) != Some(value.as_str()))?;
        Some((node, format!("it doesn't have the label {key}={value}")))
    })
}

/// The value of the node's label `key`.
fn label<'n>(node: &'n NodeName, is_control_plane: bool, key: &str) -> Option<&'n str> {
    match key {
        "kubernetes.io/os" => Some("linux"),
        "kubernetes.io/arch" => Some(match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }),
        "kubernetes.io/hostname" => Some(node.as_str()),
        CONTROL_PLANE if is_control_plane => Some(""),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Toleration;

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
