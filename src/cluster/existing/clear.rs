//! Deletes our objects from a cluster, and waits until they are gone.

use std::fmt::Debug;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::labels::{IMAGE, run_of};
use super::{host, survey};
use crate::cluster::Cleared;
use crate::cluster::kubernetes::delete::{delete, dynamic, workloads};
use crate::cluster::kubernetes::unusable;
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};

/// Deletes the namespace `name` of the run `run`, and the folders of its agents on the nodes. Fails if the namespace
/// belongs to another run.
pub(super) async fn namespace(
    client: &Client,
    name: &str,
    run: &str,
    deadline: &Deadline,
) -> Result<Cleared, Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_opt(name).await.map_err(|error| unusable(&error))?;
    let mut cleared = Cleared::default();
    if let Some(found) = found {
        if run_of(&found) != Some(run) {
            return Err(not_ours("Namespace", name));
        }
        if found.metadata.deletion_timestamp.is_none() {
            Box::pin(workloads(client, name)).await?;
            if let Some(image) = found.annotations().get(IMAGE) {
                let nodes = survey::nodes(client).await?;
                // However long wiping the folders takes, there must be enough time to delete the namespace.
                let budget = deadline.within(deadline.remaining() / 2);
                let wiping = Box::pin(host::wipe(client, name, image, &nodes, &budget));
                let (evidence, warnings) = wiping.await;
                cleared.evidence.extend(evidence);
                cleared.warnings.extend(warnings);
            }
        }
        delete(&api, name).await?;
    }
    cleared.evidence.push(gone(&format!("Namespace {name}")));
    Ok(cleared)
}

/// Whether a cluster-scoped object exists and belongs to the run `run`.
pub(super) async fn is_of_run(
    client: &Client,
    api_version: &str,
    kind: &str,
    name: &str,
    run: &str,
) -> Result<bool, Failure> {
    let found = dynamic(client, api_version, kind).get_opt(name).await;
    let found = found.map_err(|error| unusable(&error))?;
    Ok(found.is_some_and(|found| run_of(&found) == Some(run)))
}

/// Deletes a cluster-scoped object if it belongs to the run `run`. If another run has taken it over, that run will
/// delete it.
pub(super) async fn object(
    client: &Client,
    api_version: &str,
    kind: &str,
    name: &str,
    run: &str,
) -> Result<Evidence, Failure> {
    let api = dynamic(client, api_version, kind);
    let found = api.get_opt(name).await.map_err(|error| unusable(&error))?;
    match found {
        None => {}
        Some(found) => match run_of(&found) {
            Some(other) if other == run => delete(&api, name).await?,
            Some(_) => {}
            None => return Err(not_ours(kind, name)),
        },
    }
    Ok(gone(&format!("{kind} {name}")))
}

/// All objects of one kind that `selector` matches.
pub(super) async fn ours<K>(client: &Client, selector: &str) -> Result<Vec<K>, Failure>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let listed = api.list(&ListParams::default().labels(selector)).await;
    Ok(listed.map_err(|error| unusable(&error))?.items)
}

/// The kinds and names of all objects of one kind that `selector` matches.
pub(super) async fn titles<K>(client: &Client, selector: &str) -> Result<Vec<String>, Failure>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let found = ours::<K>(client, selector).await?.into_iter();
    Ok(found
        .map(|object| format!("{} {}", K::kind(&()), object.name_any()))
        .collect())
}

/// Evidence that an object is gone from the API server.
fn gone(subject: &str) -> Evidence {
    Evidence::new(subject, "gone", "gone", true)
}

fn not_ours(kind: &str, name: &str) -> Failure {
    let message = format!("{kind} {name} does not have this run's label, so it was not deleted");
    Failure::new(Symptom::CleanupIncomplete, message)
}
