//! Deletes our objects from a cluster, waits until they are gone, and checks that nothing is left.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};

use super::labels::{IMAGE, run_of, run_selector};
use super::reclaim::{ExistingResource, NAMESPACE};
use super::{definitions, host, survey};
use crate::cluster::Cleared;
use crate::cluster::kubernetes::delete::{delete, dynamic, workloads};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};

/// The cluster-scoped kinds whose objects must be gone after cleanup.
const KINDS: [(&str, &str); 4] = [
    ("v1", NAMESPACE),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("apiextensions.k8s.io/v1", definitions::KIND),
];

/// What to do if resources remain.
pub(super) const GC_REMEDY: &str =
    "after the run has ended, run `e2e-matrix gc` to delete the remaining resources";

/// Deletes the namespace `name` of a cell of the run `run` and its other `resources`, and checks that nothing is left.
pub(super) async fn cell(
    client: &Client,
    name: &str,
    run: &str,
    resources: &[ExistingResource],
    deadline: &Deadline,
) -> Result<Cleared, Failure> {
    let mut cleared = Box::pin(namespace(client, name, run, deadline)).await?;
    for resource in resources.iter().filter(|it| !it.is_namespace()) {
        // Never delete a definition that isn't ours.
        if resource.kind != definitions::KIND || is_of_run(client, resource, run).await? {
            cleared.evidence.push(object(client, resource, run).await?);
        }
    }
    cleared.evidence.push(nothing_left(client, run).await?);
    Ok(cleared)
}

/// Deletes the namespace `name` of the run `run`, and the folders of its agents on the nodes. Fails if the namespace
/// belongs to another run.
pub(super) async fn namespace(
    client: &Client,
    name: &str,
    run: &str,
    deadline: &Deadline,
) -> Result<Cleared, Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let mut cleared = Cleared::default();
    if let Some(found) = api.get_opt(name).await? {
        if run_of(&found) != Some(run) {
            return Err(not_ours(NAMESPACE, name));
        }
        if found.metadata.deletion_timestamp.is_none() {
            Box::pin(workloads(client, name)).await?;
            if let Some(image) = found.annotations().get(IMAGE) {
                let nodes = survey::nodes(client).await?;
                // Wiping the folders may take at most half of the time, so that enough is left to delete the namespace.
                let budget = deadline.within(deadline.remaining() / 2);
                let wiping = Box::pin(host::wipe(client, name, image, &nodes, &budget));
                cleared = wiping.await;
            }
        }
        let namespaces = dynamic(client, "v1", NAMESPACE);
        delete(&namespaces, name, &DeleteParams::foreground()).await?;
    }
    cleared.evidence.push(gone(NAMESPACE, name));
    Ok(cleared)
}

/// Whether a cluster-scoped object exists and belongs to the run `run`.
pub(super) async fn is_of_run(
    client: &Client,
    resource: &ExistingResource,
    run: &str,
) -> Result<bool, Failure> {
    let found = resource.api(client).get_opt(&resource.name).await?;
    Ok(found.is_some_and(|found| run_of(&found) == Some(run)))
}

/// Deletes a cluster-scoped object if it belongs to the run `run`. If another run has taken it over, that run will
/// delete it.
pub(super) async fn object(
    client: &Client,
    resource: &ExistingResource,
    run: &str,
) -> Result<Evidence, Failure> {
    let (kind, name) = (&resource.kind, &resource.name);
    let api = resource.api(client);
    if let Some(found) = api.get_opt(name).await? {
        match run_of(&found) {
            Some(other) if other == run => delete(&api, name, &DeleteParams::foreground()).await?,
            Some(_) => {}
            None => return Err(not_ours(kind, name)),
        }
    }
    Ok(gone(kind, name))
}

/// Checks that no object with the run's label is left. The run's other cells have no objects, because they have ended
/// or haven't started.
async fn nothing_left(client: &Client, run: &str) -> Result<Evidence, Failure> {
    let own = ListParams::default().labels(&run_selector(run));
    let mut left = Vec::new();
    for (api_version, kind) in KINDS {
        let found = dynamic(client, api_version, kind).list(&own).await?;
        left.extend(found.iter().map(|it| format!("{kind} {}", it.name_any())));
    }
    let row = Evidence::none_left("objects with the run's label", &left);
    if row.holds {
        return Ok(row);
    }
    let message = "some of the cell's resources still exist";
    Err(Failure::new(Symptom::CleanupIncomplete, message)
        .with_remedy(GC_REMEDY)
        .with_evidence([row]))
}

/// Evidence that an object is gone from the API server.
fn gone(kind: &str, name: &str) -> Evidence {
    Evidence::new(format!("{kind} {name}"), "gone", "gone", true)
}

fn not_ours(kind: &str, name: &str) -> Failure {
    let message = format!("{kind} {name} does not have this run's label, so it was not deleted");
    Failure::new(Symptom::CleanupIncomplete, message)
        .with_remedy("delete it yourself if nothing else needs it")
}
