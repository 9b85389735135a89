//! Taking away what is ours in a cluster, and looking that it is gone.

use std::fmt::Debug;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::marks::{IMAGE, run_of};
use super::{host, survey};
use crate::cluster::Cleared;
use crate::cluster::kubernetes::remove::{delete, dynamic, workloads};
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
