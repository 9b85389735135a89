//! Assigns pod networks to nodes in Kubernetes versions whose controller manager does so only after ten seconds, and
//! starts no controller before that.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::tuning::assigns_pod_networks;
use super::work::Work;
use crate::cluster::NodeName;
use crate::cluster::kubernetes::watch::WatchErrors;
use crate::cluster::kubernetes::{Kube, Tenant};

/// Assigns each node its network as soon as the node exists: a /24 subnet of kind's default, 10.244.0.0/16.
pub(super) async fn assign(work: Arc<Work>, tenant: Arc<Tenant>) {
    let cell = &work.plan.cell;
    let fast_setup = work.shared.options.fast_setup;
    if !fast_setup || !assigns_pod_networks(cell) {
        return;
    }
    let Ok(kube) = tenant.kube.reached().await else {
        return;
    };
    let nodes: Api<Node> = Api::all(kube.client.clone());
    let mut changes = kube.view.changes();
    while let Some(node) = next_without(&kube, &mut changes, &work).await {
        let is_it = |other: &NodeName| other.as_str() == node;
        let index = work.containers.iter().position(is_it).unwrap_or_default();
        let network = format!("10.244.{index}.0/24");
        let patch = Patch::Merge(json!({"spec": {"podCIDR": network, "podCIDRs": [network]}}));
        // If this fails, the node doesn't become ready.
        if let Err(error) = nodes.patch(&node, &PatchParams::default(), &patch).await {
            tracing::debug!(node, %error, "failed to assign a pod network to a node");
            return;
        }
    }
}

/// Waits for a node without a network. Returns `None` if all nodes have one.
async fn next_without(
    kube: &Kube,
    changes: &mut tokio::sync::watch::Receiver<WatchErrors>,
    work: &Work,
) -> Option<String> {
    loop {
        let snapshot = kube.view.snapshot();
        let mut nodes = snapshot.nodes.iter();
        if let Some(node) = nodes.find(|node| network(node).is_none()) {
            return Some(node.name_any());
        }
        if snapshot.nodes.len() >= work.containers.len() || changes.changed().await.is_err() {
            return None;
        }
    }
}

fn network(node: &Node) -> Option<&String> {
    node.spec.as_ref()?.pod_cidr.as_ref()
}
