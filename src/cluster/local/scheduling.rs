//! The nodes that a DaemonSet's pods are placed on, according to the taints and labels of real nodes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, Toleration};

use crate::cluster::NodeName;

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// The nodes on which no pod of `spec` is placed, with the reasons.
pub(super) fn refusing<'n>(spec: &PodSpec, nodes: &'n [NodeName]) -> Vec<(&'n NodeName, String)> {
    let refusals = nodes.iter().enumerate().map(|(index, node)| {
        let is_control_plane = index == 0;
        // In a cluster with one node, that node runs everything and has no taint.
        let is_tainted = is_control_plane && nodes.len() > 1;
        if is_tainted
            && !spec
                .tolerations
                .iter()
                .flatten()
                .any(tolerates_control_plane)
        {
            return Some((
                node,
                format!("its taint {CONTROL_PLANE}:NoSchedule is not tolerated"),
            ));
        }
        let labels = labels(node, is_control_plane);
        let mut selector = spec.node_selector.iter().flatten();
        let missing = selector.find(|(key, value)| labels.get(key.as_str()) != Some(value))?;
        Some((node, format!("it has no label {}={}", missing.0, missing.1)))
    });
    refusals.flatten().collect()
}

fn tolerates_control_plane(toleration: &Toleration) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let by_existence = toleration.operator.as_deref() == Some("Exists");
    let value = toleration.value.as_deref().unwrap_or_default();
    let meets_key = match key {
        "" => by_existence,
        key => key == CONTROL_PLANE && (by_existence || value.is_empty()),
    };
    meets_key && matches!(effect, "" | "NoSchedule")
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

    fn refused(tolerations: Option<Vec<Toleration>>, nodes: usize) -> usize {
        let spec = PodSpec {
            tolerations,
            ..PodSpec::default()
        };
        let nodes: Vec<NodeName> = (0..nodes).map(|n| NodeName::new(format!("n{n}"))).collect();
        refusing(&spec, &nodes).len()
    }

    #[test]
    fn a_control_plane_with_workers_has_to_be_tolerated() {
        let everything = Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        };
        assert_eq!(refused(None, 1), 0);
        assert_eq!(refused(None, 3), 1);
        assert_eq!(refused(Some(vec![everything]), 3), 0);
    }
}
