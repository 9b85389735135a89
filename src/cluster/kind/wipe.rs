//! A cluster between two cells: removes everything that belongs to the first cell, and proves that the second one finds
//! nothing of it. The second cell starts in another namespace while the first one's is still being removed.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};

use super::node_state::{self, NodeStates};
use super::work::Work;
use crate::cluster::CellPlan;
use crate::cluster::kubernetes::delete::{delete, dynamic, gone, request, workloads_at_once};
use crate::cluster::kubernetes::unusable;
use crate::event::{Evidence, Failure};
use crate::manifest::Object;

/// The namespaces of every kind cluster.
const SYSTEM: [&str; 5] = [
    "default",
    "kube-node-lease",
    "kube-public",
    "kube-system",
    "local-path-storage",
];

/// What a cell leaves in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tracks {
    namespace: String,
    /// The cluster-scoped objects: API version, kind, name.
    objects: Vec<(String, String, String)>,
    /// The titles of the objects in other namespaces.
    elsewhere: Vec<String>,
    /// The paths on the nodes that its pods mount.
    paths: Vec<String>,
}

impl Tracks {
    /// Whether a namespace is the cell's, or belongs to the cluster.
    fn covers(&self, namespace: &str) -> bool {
        namespace == self.namespace || SYSTEM.contains(&namespace)
    }

    /// What the cell of `plan` leaves.
    pub(super) fn of(plan: &CellPlan) -> Self {
        let objects = plan.rendered.objects();
        let outside = objects.filter(|object| !object.is_in(&plan.namespace));
        let is_scoped = |object: &&Object| object.kind != "Namespace" && !object.is_namespaced();
        let scoped = plan.rendered.objects().filter(is_scoped).map(|object| {
            let (version, kind) = (&object.api_version, &object.kind);
            (version.clone(), kind.clone(), object.name.clone())
        });
        Self {
            namespace: plan.namespace.clone(),
            objects: scoped.collect(),
            elsewhere: outside.map(Object::title).collect(),
            paths: node_state::host_paths(&plan.rendered),
        }
    }
}

/// Removes from the cluster what a cell left in it. Evidence that doesn't hold says what remains. The namespace, in which
/// nothing runs any more, is removed in the background: see [`Work::wait_for_removal`].
pub(super) async fn wipe(
    work: &Work,
    tracks: &Tracks,
    before: &NodeStates,
) -> Result<Vec<Evidence>, Failure> {
    let access = work.access.reached().await?;
    let client = &access.client;
    let (namespaces, name) = (
        Api::<Namespace>::all(client.clone()),
        tracks.namespace.clone(),
    );
    // From now on, no controller can create another pod in it.
    let requested = request(&namespaces, &name, &DeleteParams::foreground()).await?;
    work.remove(async move { gone(&namespaces, &name, requested).await });
    Box::pin(processes(work, client, tracks)).await?;
    let deleting = Box::pin(objects(client, tracks));
    work.steps
        .measure("cluster-scoped objects deleted", deleting)
        .await?;
    let mut evidence = vec![
        namespaces_left(client, tracks).await?,
        pods_left(client).await?,
        objects_left(client, tracks).await?,
    ];
    // Such objects may have changed what the cluster had there, so the cluster isn't reused.
    let elsewhere = &tracks.elsewhere;
    evidence.push(Evidence::none_left(
        "objects in other namespaces",
        elsewhere,
    ));
    evidence.extend(node_state::wipe(work, &tracks.paths, before).await?);
    Ok(evidence)
}

/// Ends the cell's processes without asking them to end, which can take as long as they like.
async fn processes(work: &Work, client: &Client, tracks: &Tracks) -> Result<(), Failure> {
    let deleting = Box::pin(workloads_at_once(client, &tracks.namespace));
    work.steps.measure("pods deleted", deleting).await?;
    let killing = node_state::kill(work, &tracks.namespace);
    work.steps.measure("processes killed", killing).await
}

/// Deletes the cluster-scoped objects.
async fn objects(client: &Client, tracks: &Tracks) -> Result<(), Failure> {
    for (version, kind, name) in &tracks.objects {
        delete(&dynamic(client, version, kind), name).await?;
    }
    Ok(())
}

async fn namespaces_left(client: &Client, tracks: &Tracks) -> Result<Evidence, Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let listed = api.list(&ListParams::default()).await;
    let names = listed.map_err(|error| unusable(&error))?.into_iter();
    let names = names.map(|namespace| namespace.name_any());
    let left: Vec<_> = names.filter(|name| !tracks.covers(name)).collect();
    Ok(Evidence::none_left("further namespaces", &left))
}

async fn pods_left(client: &Client) -> Result<Evidence, Failure> {
    let api: Api<Pod> = Api::all(client.clone());
    let listed = api.list(&ListParams::default()).await;
    let pods = listed.map_err(|error| unusable(&error))?.into_iter();
    let foreign = pods.filter(|pod| {
        let namespace = pod.namespace().unwrap_or_default();
        !SYSTEM.contains(&namespace.as_str())
    });
    let left: Vec<_> = foreign.map(|pod| pod.name_any()).collect();
    Ok(Evidence::none_left("pods of cells", &left))
}

async fn objects_left(client: &Client, tracks: &Tracks) -> Result<Evidence, Failure> {
    let mut left = Vec::new();
    for (version, kind, name) in &tracks.objects {
        let found = dynamic(client, version, kind).get_opt(name).await;
        if found.map_err(|error| unusable(&error))?.is_some() {
            left.push(format!("{kind} {name}"));
        }
    }
    Ok(Evidence::none_left("objects of the whole cluster", &left))
}
