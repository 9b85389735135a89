//! Taking away what is ours in a cluster, and looking that it is gone.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::marks::{IMAGE, run_of};
use super::{host, survey};
use crate::cluster::Cleared;
use crate::cluster::kubernetes::unusable;
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};

/// Takes the namespace `name` of the run `run` away, with what its agents have kept on the nodes. One that is not that run's is left
/// alone.
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
                // Whatever happens to the wiping, the namespace must still have time to go.
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

/// Ends everything that keeps pods there, and waits for the last pod's end.
async fn workloads(client: &Client, namespace: &str) -> Result<(), Failure> {
    all_of::<CronJob>(client, namespace).await?;
    tokio::try_join!(
        Box::pin(all_of::<DaemonSet>(client, namespace)),
        Box::pin(all_of::<Deployment>(client, namespace)),
        Box::pin(all_of::<StatefulSet>(client, namespace)),
        Box::pin(all_of::<Job>(client, namespace)),
    )?;
    all_of::<Pod>(client, namespace).await
}

async fn all_of<K>(client: &Client, namespace: &str) -> Result<(), Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let listed = api.list(&ListParams::default()).await;
    for object in listed.map_err(|error| unusable(&error))? {
        delete(&api, &object.name_any()).await?;
    }
    Ok(())
}

/// Deletes an object, and waits until it and all that it owns are gone.
async fn delete<K>(api: &Api<K>, name: &str) -> Result<(), Failure>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("failed to remove {name}: {error}");
        Failure::new(Symptom::CleanupIncomplete, message)
    };
    let deleted = api.delete(name, &DeleteParams::foreground()).await;
    let uid = match deleted {
        Ok(either) => either.left().and_then(|object| object.uid()),
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(failed(&error)),
    };
    // Answered with a status alone, it is gone already.
    if let Some(uid) = uid {
        let waiting = await_condition(api.clone(), name, conditions::is_deleted(&uid));
        Box::pin(waiting).await.map_err(|error| failed(&error))?;
    }
    Ok(())
}

fn dynamic(client: &Client, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::all_with(client.clone(), &resource)
}

/// Whether an object that is in no namespace is there, and the run `run`'s.
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

/// Takes an object of the whole cluster away, where it is the run `run`'s. One that another run has taken over is that run's to remove.
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

/// The names of all objects of one kind that carry our label.
pub(super) async fn ours<K>(client: &Client, selector: &str) -> Result<Vec<K>, Failure>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let listed = api.list(&ListParams::default().labels(selector)).await;
    Ok(listed.map_err(|error| unusable(&error))?.items)
}

/// The row of what was waited for until the API server did not have it any more.
fn gone(subject: &str) -> Evidence {
    Evidence {
        node: None,
        subject: subject.to_owned(),
        expected: "gone".to_owned(),
        seen: "gone".to_owned(),
        holds: true,
    }
}

fn not_ours(kind: &str, name: &str) -> Failure {
    let message = format!("{kind} {name} does not carry this run's label, and is left alone");
    Failure::new(Symptom::CleanupIncomplete, message)
}
