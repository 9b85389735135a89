//! Deletes the objects that dead runs left behind in shared clusters, using only their ledgers.
//!
//! Deletes an object only if it still has the dead run's label. A live run that takes over an object replaces that
//! label with its own.

use std::path::PathBuf;

use async_trait::async_trait;
use kube::api::DynamicObject;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};

use super::clear;
use super::connection::Connection;
use super::lease::CellLease;
use crate::cluster::kubernetes::delete::dynamic;
use crate::cluster::reclaim::{Entry, Reclaim, Reclaimed, incomplete};
use crate::event::Failure;
use crate::machine::{LiveClaims, Payload};
use crate::matrix::ProviderChoice;

/// A ledger entry of this provider: a namespace or another cluster-scoped object, with the connection to its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExistingResource {
    /// The files of the kubeconfig.
    pub(super) kubeconfig: Vec<PathBuf>,
    /// The context in the kubeconfig.
    pub(super) context: String,
    /// The object's API version, such as `rbac.authorization.k8s.io/v1`.
    pub(super) api_version: String,
    /// The object's kind, such as `ClusterRole`.
    pub(super) kind: String,
    /// The object's name.
    pub(super) name: String,
}

/// The kind of a namespace.
pub(super) const NAMESPACE: &str = "Namespace";

impl Payload for ExistingResource {
    const PROVIDER: &'static str = ProviderChoice::Existing.name();

    fn name(&self) -> String {
        format!("{} {} in {}", self.kind, self.name, self.context)
    }
}

impl ExistingResource {
    /// Whether the object is a namespace.
    pub(super) fn is_namespace(&self) -> bool {
        self.kind == NAMESPACE
    }

    /// The API for objects of its kind.
    pub(super) fn api(&self, client: &Client) -> Api<DynamicObject> {
        dynamic(client, &self.api_version, &self.kind)
    }
}

/// Reclaims the objects of dead runs in existing clusters.
pub struct ExistingReclaimer;

#[async_trait]
impl Reclaim for ExistingReclaimer {
    fn provider(&self) -> &'static str {
        ExistingResource::PROVIDER
    }

    async fn reclaim(&self, entry: &Entry<'_>, _live: &LiveClaims) -> Result<Reclaimed, Failure> {
        let resource = entry.payload()?;
        let reclaiming = Box::pin(reclaim(&resource, entry));
        let reclaimed = entry.deadline.run(reclaiming).await;
        reclaimed.map_err(|timed_out| incomplete(format!("its deletion {timed_out}")))?
    }
}

async fn reclaim(resource: &ExistingResource, entry: &Entry<'_>) -> Result<Reclaimed, Failure> {
    let (name, run) = (&resource.name, entry.run);
    let client = Connection::of_entry(resource).client().await?;
    if !clear::is_of_run(&client, resource, run).await? {
        return Ok(Reclaimed::Absent);
    }
    if entry.dry_run {
        return Ok(Reclaimed::Present);
    }
    if resource.is_namespace() {
        let cleared = clear::namespace(&client, name, run, entry.deadline).await?;
        // A cell of a killed run may still hold the cluster's Lease.
        let turn = CellLease::new(&client, name, run);
        turn.release(entry.deadline).await?;
        for warning in cleared.warnings {
            tracing::warn!(run, "{warning}");
        }
    } else {
        clear::object(&client, resource, run).await?;
    }
    Ok(Reclaimed::Deleted)
}
