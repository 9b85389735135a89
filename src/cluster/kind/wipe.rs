//! A cluster between two cells: removes everything that belongs to the first cell, and proves that the second one finds
//! nothing of it.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::node_state;
use super::work::Work;
use crate::cluster::CellPlan;
use crate::cluster::kubernetes::remove::{delete, dynamic, workloads};
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

/// Removes the cell of `plan` from the cluster. Evidence that doesn't hold says what is left.
pub(super) async fn wipe(work: &Work, plan: &CellPlan) -> Result<Vec<Evidence>, Failure> {
    let access = work.access.reached().await?;
    let before = work.before.reached().await?;
    let client = &access.client;
    Box::pin(objects(client, plan)).await?;
    let mut evidence = vec![namespaces(client).await?, pods(client).await?];
    evidence.extend(applied(client, plan).await?);
    evidence.push(elsewhere(plan));
    let paths = node_state::host_paths(&plan.rendered);
    evidence.extend(node_state::wipe(work, &paths, &before).await?);
    Ok(evidence)
}

/// Deletes the namespace with everything in it, and then the cluster-scoped objects.
async fn objects(client: &Client, plan: &CellPlan) -> Result<(), Failure> {
    // A namespace that still contains pods is checked again only after a pause.
    workloads(client, &plan.namespace).await?;
    delete(&Api::<Namespace>::all(client.clone()), &plan.namespace).await?;
    for object in plan.rendered.objects() {
        if object.kind != "Namespace" && !object.is_namespaced() {
            let api = dynamic(client, &object.api_version, &object.kind);
            delete(&api, &object.name).await?;
        }
    }
    Ok(())
}

async fn namespaces(client: &Client) -> Result<Evidence, Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let listed = api.list(&ListParams::default()).await;
    let names = listed.map_err(|error| unusable(&error))?.into_iter();
    let names = names.map(|namespace| namespace.name_any());
    let left: Vec<_> = names
        .filter(|name| !SYSTEM.contains(&name.as_str()))
        .collect();
    Ok(Evidence::none_left("namespaces", &left))
}

async fn pods(client: &Client) -> Result<Evidence, Failure> {
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

/// Objects in other namespaces may have changed what the cluster had there, so the cluster isn't reused.
fn elsewhere(plan: &CellPlan) -> Evidence {
    let objects = plan.rendered.objects();
    let outside = objects.filter(|object| !object.is_in(&plan.namespace));
    let titles: Vec<_> = outside.map(Object::title).collect();
    Evidence::none_left("objects in other namespaces", &titles)
}

async fn applied(client: &Client, plan: &CellPlan) -> Result<Vec<Evidence>, Failure> {
    let mut left = Vec::new();
    for object in plan.rendered.objects() {
        if object.kind == "Namespace" || object.is_namespaced() {
            continue;
        }
        let api = dynamic(client, &object.api_version, &object.kind);
        let found = api.get_opt(&object.name).await;
        if found.map_err(|error| unusable(&error))?.is_some() {
            left.push(object.title());
        }
    }
    Ok(vec![Evidence::none_left(
        "objects of the whole cluster",
        &left,
    )])
}
