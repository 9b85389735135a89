//! Checks, before the first cell starts, that the cluster responds and grants the required permissions. The cluster's
//! version and its number of nodes determine which cells can run.

use std::collections::BTreeMap;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::provider::TargetCluster;
use crate::cluster::kubernetes::Access;
use crate::cluster::kubernetes::placement::CONTROL_PLANE;
use crate::cluster::{NodeName, Survey};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::matrix::{Cell, CellId, KubernetesVersion};

/// The API group of custom resource definitions.
const EXTENSIONS: &str = "apiextensions.k8s.io";
/// The required permissions that not every user has, each with its verb, group and resource.
const PERMISSIONS: [(&str, &str, &str); 6] = [
    ("create", "", "namespaces"),
    ("delete", "", "namespaces"),
    ("create", EXTENSIONS, "customresourcedefinitions"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ("create", "coordination.k8s.io", "leases"),
];

/// Checks the cluster, once for all `cells`.
pub(super) async fn survey(
    shared: &TargetCluster,
    cells: &[Cell],
    deadline: &Deadline,
) -> Result<Survey, Failure> {
    let client = shared.client().await?;
    let access = Access::open(client.clone(), deadline.remaining() / 2).await?;
    let version = version(&access.server_version)?;
    let nodes = nodes(client).await?;
    let mut evidence = vec![
        Evidence::new("cluster", "responds", &shared.connection.context, true),
        Evidence::new("server version", "known", &access.server_version, true),
        Evidence::new("nodes", "at least 1", nodes.len(), true),
    ];
    evidence.extend(permissions(client).await?);
    let skips = skips(cells, version, nodes.len());
    // An earlier call may have set the nodes already; those are kept.
    drop(shared.nodes.set(nodes));
    Ok(Survey {
        evidence,
        skips,
        ..Survey::default()
    })
}

/// The Kubernetes minor version in a server's version such as `v1.34.4` or `v1.34.1-gke.1`.
fn version(server: &str) -> Result<KubernetesVersion, Failure> {
    let mut parts = server.trim_start_matches('v').split('.');
    let numbers = parts.next().zip(parts.next());
    let parsed = numbers.and_then(|(major, minor)| format!("{major}.{minor}").parse().ok());
    parsed.ok_or_else(|| {
        let message =
            format!("the API server reports the version `{server}`, which can't be parsed");
        Failure::new(Symptom::ClusterDiffers, message)
            .with_remedy("use a cluster that reports a version such as `v1.34.4`")
    })
}

/// The names of all nodes, control plane first. The agent tolerates all taints, so it runs on every node.
pub(super) async fn nodes(client: &Client) -> Result<Vec<NodeName>, Failure> {
    let api: Api<Node> = Api::all(client.clone());
    let mut nodes = api.list(&ListParams::default()).await?.items;
    nodes.sort_by_key(|node| (!node.labels().contains_key(CONTROL_PLANE), node.name_any()));
    let names = nodes.iter().map(|node| NodeName::new(node.name_any()));
    Ok(names.collect())
}

async fn permissions(client: &Client) -> Result<Vec<Evidence>, Failure> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut evidence = Vec::new();
    for (verb, group, resource) in PERMISSIONS {
        let mut review = SelfSubjectAccessReview::default();
        review.spec.resource_attributes = Some(ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            ..ResourceAttributes::default()
        });
        let status = api.create(&PostParams::default(), &review).await?.status;
        let is_allowed = status.is_some_and(|status| status.allowed);
        let seen = if is_allowed { "allowed" } else { "denied" };
        let subject = format!("permission to {verb} {resource}");
        let row = Evidence::new(subject, "allowed", seen, is_allowed);
        if !is_allowed {
            let message = format!("the context's user is not allowed to {verb} {resource}");
            return Err(Failure::new(Symptom::ObjectRefused, message)
                .with_remedy("docs/existing.md lists the permissions that a run needs")
                .with_evidence([row]));
        }
        evidence.push(row);
    }
    Ok(evidence)
}

/// The cells that can't run in this cluster, each with the reason.
fn skips(cells: &[Cell], version: KubernetesVersion, nodes: usize) -> BTreeMap<CellId, String> {
    let differs = |cell: &&Cell| cell.kubernetes != version || cell.nodes.get() != nodes;
    let plural = if nodes == 1 { "" } else { "s" };
    let reason = format!("cluster runs {version} with {nodes} node{plural}");
    let ids = cells.iter().filter(differs).map(|cell| cell.id.clone());
    ids.map(|id| (id, reason.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;

    #[test]
    fn versions_of_all_distributions_are_parsed() {
        for server in ["v1.34.4", "v1.34.1-gke.1", "v1.34.2+k3s1"] {
            assert_eq!(
                version(server).unwrap(),
                "1.34".parse().unwrap(),
                "{server}"
            );
        }
        assert!(version("latest").is_err());
    }

    #[test]
    fn cells_with_another_version_or_size_are_skipped_with_the_reason() {
        let text = "[matrix]\nkubernetes = [\"1.33\", \"1.34\"]\nnodes = [1, 3]\n";
        let cells = Matrix::parse("matrix.toml", text).unwrap().cells;
        let skips = skips(&cells, "1.34".parse().unwrap(), 1);
        let ids: Vec<_> = skips.keys().map(ToString::to_string).collect();
        assert_eq!(
            ids,
            [
                "k8s-1.33-n1-default",
                "k8s-1.33-n3-default",
                "k8s-1.34-n3-default"
            ]
        );
        assert!(
            skips
                .values()
                .all(|why| why == "cluster runs 1.34 with 1 node")
        );
    }
}
