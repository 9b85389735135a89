//! What dead runs have left in clusters that others use: looked at and removed without any memory of the run but its ledger.
//!
//! Removes only what still carries the run's label.

use kube::Client;

use super::clear;
use super::connection::Connection;
use super::turn::Turn;
use crate::cluster::Cleared;
use crate::deadline::Deadline;
use crate::event::{Failure, Symptom};
use crate::machine::Resource;

/// Something that a ledger names, with the way to it.
enum Known<'r> {
    Namespace(&'r str),
    Object {
        api_version: &'r str,
        kind: &'r str,
        name: &'r str,
    },
}

/// The way to `resource`; none where it is another provider's.
fn known(resource: &Resource) -> Option<(Connection, Known<'_>)> {
    match resource {
        Resource::Namespace {
            kubeconfig,
            context,
            name,
        } => Some((
            Connection::known(kubeconfig, context),
            Known::Namespace(name),
        )),
        Resource::ClusterObject {
            kubeconfig,
            context,
            api_version,
            kind,
            name,
        } => {
            let object = Known::Object {
                api_version,
                kind,
                name,
            };
            Some((Connection::known(kubeconfig, context), object))
        }
        Resource::KindCluster { .. }
        | Resource::Container { .. }
        | Resource::Volume { .. }
        | Resource::Processes { .. }
        | Resource::Folder { .. }
        | Resource::Port { .. }
        | Resource::Network { .. } => None,
    }
}

/// Whether `resource` is there and still carries the label of the run `run`. What is another provider's is not there.
pub async fn is_there(
    resource: &Resource,
    run: &str,
    deadline: &Deadline,
) -> Result<bool, Failure> {
    let Some((connection, known)) = known(resource) else {
        return Ok(false);
    };
    let looking = async {
        let client = connection.client().await?;
        let (api_version, kind, name) = match known {
            Known::Namespace(name) => ("v1", "Namespace", name),
            Known::Object {
                api_version,
                kind,
                name,
            } => (api_version, kind, name),
        };
        clear::is_of_run(&client, api_version, kind, name, run).await
    };
    within(deadline, resource, looking).await
}

/// Takes `resource` of the run `run` away. What is another provider's is left to it.
pub async fn remove(
    resource: &Resource,
    run: &str,
    deadline: &Deadline,
) -> Result<Cleared, Failure> {
    let Some((connection, known)) = known(resource) else {
        return Ok(Cleared::default());
    };
    let removing = async {
        let client = connection.client().await?;
        match known {
            Known::Namespace(name) => with_turn(&client, name, run, deadline).await,
            Known::Object {
                api_version,
                kind,
                name,
            } => {
                let row = clear::object(&client, api_version, kind, name, run).await?;
                Ok(vec![row].into())
            }
        }
    };
    within(deadline, resource, removing).await
}

/// A cell that died may still have its turn in the cluster.
async fn with_turn(
    client: &Client,
    name: &str,
    run: &str,
    deadline: &Deadline,
) -> Result<Cleared, Failure> {
    let cleared = clear::namespace(client, name, run, deadline).await?;
    Turn::new(client, name, run).release().await?;
    Ok(cleared)
}

async fn within<T>(
    deadline: &Deadline,
    resource: &Resource,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    deadline.run(work).await.unwrap_or_else(|timed_out| {
        let message = format!("the look at {resource} {timed_out}");
        Err(Failure::new(Symptom::CleanupIncomplete, message))
    })
}
