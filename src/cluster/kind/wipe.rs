//! Wipes a cluster between two cells: deletes everything that belongs to the first cell, and checks that nothing of it
//! is left. The second cell starts in another namespace while the first cell's namespace is still being deleted.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};

use super::node_state;
use super::work::Work;
use crate::cluster::CellPlan;
use crate::cluster::kubernetes::delete::{
    delete, dynamic, gone, request, services, workloads_at_once,
};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::manifest::Object;

/// The namespaces that every kind cluster has.
const SYSTEM: [&str; 5] = [
    "default",
    "kube-node-lease",
    "kube-public",
    "kube-system",
    "local-path-storage",
];

/// The field managers, or the start of their names, that create the objects of a new cluster.
const CREATORS: [&str; 3] = ["kube-apiserver", "kubeadm", "kubectl"];

/// Everything that a cell leaves behind in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leftovers {
    namespace: String,
    /// The cluster-scoped objects: API version, kind, name.
    objects: Vec<(String, String, String)>,
    /// The titles of the objects in other namespaces.
    elsewhere: Vec<String>,
    /// The paths on the nodes that the cell's pods mount.
    paths: Vec<String>,
}

impl Leftovers {
    /// Whether a namespace is the cell's or one of the cluster's own.
    fn covers(&self, namespace: &str) -> bool {
        namespace == self.namespace || SYSTEM.contains(&namespace)
    }

    /// What the cell of `plan` leaves behind.
    pub(super) fn of(plan: &CellPlan) -> Self {
        let objects = plan.rendered.objects();
        let is_system =
            |object: &Object| object.kind == "Namespace" && SYSTEM.contains(&object.name.as_str());
        let outside = objects.filter(|object| !object.is_in(&plan.namespace) || is_system(object));
        let is_scoped = |object: &&Object| object.kind != "Namespace" && !object.is_namespaced();
        let scoped = plan.rendered.objects().filter(is_scoped).map(|object| {
            let (version, kind) = (&object.api_version, &object.kind);
            (version.clone(), kind.clone(), object.name.clone())
        });
        Self {
            namespace: plan.namespace.clone(),
            objects: scoped.collect(),
            elsewhere: outside.map(Object::title).collect(),
            paths: plan.rendered.host_paths(),
        }
    }
}

/// Deletes everything that a cell left in the cluster. Fails if something remains, if `deadline` passes, or if the
/// cluster is lost. When this returns, nothing runs in the cell's namespace, and the namespace is being deleted in the
/// background: see [`Work::wait_for_deletion`].
pub(super) async fn wipe(
    work: &Work,
    leftovers: &Leftovers,
    deadline: &Deadline,
) -> Result<Vec<Evidence>, Failure> {
    let start = work.plan.clock.elapsed();
    let wiped = tokio::select! {
        wiped = deadline.run(Box::pin(wipe_all(work, leftovers))) => wiped,
        failure = work.lost.failed() => return Err(failure),
    };
    let took = work.plan.clock.elapsed().saturating_sub(start);
    work.shared.pool.tally().wiping += took;
    wiped.unwrap_or_else(|timed_out| {
        let message = format!("wiping it {timed_out}");
        Err(Failure::new(Symptom::CleanupIncomplete, message))
    })
}

async fn wipe_all(work: &Work, leftovers: &Leftovers) -> Result<Vec<Evidence>, Failure> {
    let before = work.before().reached().await?;
    let access = work.access.reached().await?;
    let client = &access.client;
    let namespaces = dynamic(client, "v1", "Namespace");
    let name = leftovers.namespace.clone();
    // From now on, no controller can create another pod in the namespace.
    let requested = request(&namespaces, &name, &DeleteParams::foreground()).await?;
    work.watch_deletion(async move { gone(&namespaces, &name, requested).await });
    Box::pin(end_processes(work, client, leftovers)).await?;
    let deleting = Box::pin(delete_objects(client, leftovers));
    let step = "cluster-scoped objects deleted";
    work.steps.measure(step, deleting).await?;
    let mut evidence = vec![
        namespaces_left(client, leftovers).await?,
        pods_left(client).await?,
        objects_left(client, leftovers).await?,
    ];
    // Such objects may have replaced the cluster's own, so the cluster isn't reused.
    let subject = "objects in other namespaces";
    evidence.push(Evidence::none_left(subject, &leftovers.elsewhere));
    evidence.extend(node_state::wipe(work, &leftovers.paths, &before).await?);
    let Some(left) = evidence.iter().find(|row| !row.holds) else {
        return Ok(evidence);
    };
    let message = match &left.node {
        // The row is about the files or processes on a node: `seen` lists them.
        Some(node) => format!("{node}: {}", left.seen),
        None => format!("{} still exist: {}", left.subject, left.seen),
    };
    Err(Failure::new(Symptom::CleanupIncomplete, message))
}

/// Kills the cell's processes. A graceful shutdown could take arbitrarily long.
async fn end_processes(work: &Work, client: &Client, leftovers: &Leftovers) -> Result<(), Failure> {
    let deleting = Box::pin(workloads_at_once(client, &leftovers.namespace));
    work.steps.measure("pods deleted", deleting).await?;
    // The namespace is deleted only after several seconds, but the next cell may need the same node ports immediately.
    Box::pin(services(client, &leftovers.namespace)).await?;
    let killing = node_state::kill(work, &leftovers.namespace);
    work.steps.measure("processes killed", killing).await
}

/// Deletes the cluster-scoped objects. Foreground deletion would wait for the garbage collector, which can pause for
/// half a minute while custom resource definitions change.
async fn delete_objects(client: &Client, leftovers: &Leftovers) -> Result<(), Failure> {
    for (version, kind, name) in &leftovers.objects {
        let api = dynamic(client, version, kind);
        let found = api.get_opt(name).await?;
        if found.is_some_and(|object| !is_clusters_own(&object)) {
            delete(&api, name, &DeleteParams::background()).await?;
        }
    }
    Ok(())
}

/// Whether the object is part of every cluster, and the cell only changed it. It isn't deleted, so the cluster isn't
/// reused.
fn is_clusters_own(object: &DynamicObject) -> bool {
    let managers = object.managed_fields().iter();
    managers
        .filter(|fields| fields.subresource.is_none())
        .filter_map(|fields| fields.manager.as_deref())
        .any(|manager| CREATORS.iter().any(|creator| manager.starts_with(creator)))
}

async fn namespaces_left(client: &Client, leftovers: &Leftovers) -> Result<Evidence, Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let namespaces = api.list(&ListParams::default()).await?.into_iter();
    let names = namespaces.map(|namespace| namespace.name_any());
    let left: Vec<_> = names.filter(|name| !leftovers.covers(name)).collect();
    Ok(Evidence::none_left("other namespaces", &left))
}

async fn pods_left(client: &Client) -> Result<Evidence, Failure> {
    let api: Api<Pod> = Api::all(client.clone());
    let pods = api.list(&ListParams::default()).await?.into_iter();
    let foreign = pods.filter(|pod| {
        let namespace = pod.namespace().unwrap_or_default();
        !SYSTEM.contains(&namespace.as_str())
    });
    let left: Vec<_> = foreign.map(|pod| pod.name_any()).collect();
    Ok(Evidence::none_left("pods of cells", &left))
}

async fn objects_left(client: &Client, leftovers: &Leftovers) -> Result<Evidence, Failure> {
    let mut left = Vec::new();
    for (version, kind, name) in &leftovers.objects {
        let found = dynamic(client, version, kind).get_opt(name).await?;
        if found.is_some() {
            left.push(format!("{kind} {name}"));
        }
    }
    Ok(Evidence::none_left("cluster-scoped objects", &left))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_that_the_cluster_created_is_its_own() {
        let managed_by = |managers: &[(&str, Option<&str>)]| {
            let fields = managers
                .iter()
                .map(|(manager, part)| json!({"manager": manager, "subresource": part}));
            let fields: Vec<_> = fields.collect();
            let object = json!({"metadata": {"name": "x", "managedFields": fields}});
            is_clusters_own(&serde_json::from_value(object).unwrap())
        };
        let own = ("e2e-matrix", None);
        assert!(!managed_by(&[own]));
        // The API server reports the state of a definition that the cell applied.
        assert!(!managed_by(&[own, ("kube-apiserver", Some("status"))]));
        assert!(managed_by(&[own, ("kubectl-client-side-apply", None)]));
        assert!(managed_by(&[("kube-apiserver", None), own]));
    }
}
