//! Finds and deletes resources that dead runs left in the container engine, using only their ledgers.
//!
//! Deletes only resources that a dead run's ledger claims and no live run claims, and images with our label.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use tokio::sync::OnceCell;

use super::claim::{Claim, KindResource, Live, clusters};
use super::destroy::{delete_containers, own_containers};
use super::nodes::CLUSTER_LABEL;
use super::{engine_health, network, nodes, stored_images};
use crate::cluster::ClusterName;
use crate::cluster::images::{self, LABEL};
use crate::cluster::reclaim::{Entry, Reclaim, Reclaimed, incomplete};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::machine::marked::Marked;
use crate::machine::{LedgerContents, LiveClaims, Payload, StateFolder, folders};

/// How long the engine may take to respond.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after a run's last sign of life the engine may still be working on the run's requests.
const RECENT: Duration = Duration::from_secs(30);
/// How long the engine may still be creating a container for a dead client.
const QUIET_PERIOD: Duration = Duration::from_secs(3);
/// How often to check for such a container.
const INTERVAL: Duration = Duration::from_millis(250);

/// The part of the provider that reclaims resources. It needs no engine if there is nothing to reclaim.
pub struct KindReclaimer {
    docker: OnceCell<Result<Docker, Failure>>,
    deadline: Deadline,
}

#[async_trait]
impl Reclaim for KindReclaimer {
    fn provider(&self) -> &'static str {
        KindResource::PROVIDER
    }

    async fn reclaim(&self, entry: &Entry<'_>, live: &LiveClaims) -> Result<Reclaimed, Failure> {
        let resource = entry.payload()?;
        let docker = self.docker().await?;
        let reclaiming = async {
            match &resource {
                KindResource::Cluster(claim) => cluster(docker, claim, entry, live).await,
                KindResource::Network(claim) => {
                    network::reclaim(docker, claim, live, entry.dry_run).await
                }
            }
        };
        let reclaimed = entry.deadline.run(reclaiming).await;
        reclaimed.map_err(|timed_out| incomplete(format!("deleting it {timed_out}")))?
    }
}

impl KindReclaimer {
    /// A reclaimer that connects to the engine when it first needs the engine. It gives up connecting when `deadline`
    /// passes.
    pub fn new(deadline: Deadline) -> Self {
        let docker = OnceCell::new();
        Self { docker, deadline }
    }

    async fn docker(&self) -> Result<&Docker, Failure> {
        let connecting = async {
            let limit = self.deadline.within(RESPONSE_TIMEOUT);
            let connected = limit.run(images::connect()).await;
            connected.unwrap_or_else(|timed_out| {
                let message = format!("connecting to the container engine {timed_out}");
                let failure = Failure::new(Symptom::EngineGone, message);
                Err(failure.with_remedy(engine_health::REMEDY))
            })
        };
        let connected = self.docker.get_or_init(|| connecting).await;
        connected.as_ref().map_err(Clone::clone)
    }

    /// The clusters whose names have our format, but which aren't in any ledger in `state`.
    pub async fn strangers(&self, state: &StateFolder) -> Result<Vec<String>, Failure> {
        let found = nodes::containers(self.docker().await?, None).await?;
        let labels = found.into_iter().filter_map(|it| it.labels);
        let names = labels.filter_map(|mut labels| labels.remove(CLUSTER_LABEL));
        let mut names: BTreeSet<_> = names.collect();
        names.retain(|name| ClusterName::matches_grammar(name));
        for folder in folders(state)? {
            let ledger = LedgerContents::read(&folder).unwrap_or_default();
            for (_, claim) in clusters(&ledger) {
                names.remove(&claim.name);
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The images with our label, by name, or by id if they have none.
    pub async fn images(&self) -> Result<Vec<String>, Failure> {
        let images = stored_images::with_label(self.docker().await?, LABEL).await?;
        Ok(images.into_iter().flat_map(stored_images::names).collect())
    }

    /// Deletes an image. Returns whether it is gone: an image that a container uses stays.
    pub async fn remove_image(&self, name: &str) -> Result<bool, Failure> {
        stored_images::delete(self.docker().await?, name, false).await
    }
}

/// Deletes the containers and volumes of a dead run's cluster. The run's processes are killed first, because a kind
/// process that has outlived its runner would keep creating nodes.
pub(super) async fn cluster(
    docker: &Docker,
    claim: &Claim,
    entry: &Entry<'_>,
    live: &LiveClaims,
) -> Result<Reclaimed, Failure> {
    entry.check_mark(&claim.mark)?;
    if entry.dry_run {
        return if own_containers(docker, claim, live).await?.is_empty() {
            absent(docker, claim, live).await
        } else {
            Ok(Reclaimed::Present)
        };
    }
    let mark = Marked::Cell(claim.mark.clone());
    let (killed, left) = mark.kill(entry.deadline).await;
    if !left.is_empty() {
        let message = format!("its processes are still running: {left:?}");
        return Err(incomplete(message));
    }
    let is_settling = killed > 0 || entry.age < RECENT;
    let (is_deleted, evidence) =
        delete_until_quiet(docker, claim, live, is_settling, entry.deadline).await?;
    let left = evidence.iter().filter(|row| !row.holds);
    let left = left.map(|row| format!("{}: {}", row.subject, row.seen));
    let left: Vec<_> = left.collect();
    if !left.is_empty() {
        return Err(incomplete(left.join("; ")));
    }
    if is_deleted {
        return Ok(Reclaimed::Deleted);
    }
    absent(docker, claim, live).await
}

/// The result if nothing is left of the run's cluster. Another cluster may have the same name.
async fn absent(docker: &Docker, claim: &Claim, live: &LiveClaims) -> Result<Reclaimed, Failure> {
    let found = nodes::containers(docker, Some(&claim.name)).await?;
    let live = Live::read(live)?;
    let reason = "that run did not create it; delete it with `kind delete cluster`";
    Ok(if found.iter().all(|container| live.owns(container)) {
        Reclaimed::Absent
    } else {
        Reclaimed::Foreign(reason.to_owned())
    })
}

/// Deletes the containers of `claim` and their volumes. If `is_settling`, the engine may still be working for a dead
/// client, so this repeats the deletion until no more containers appear. Returns whether there were any containers, and
/// evidence that they are gone.
async fn delete_until_quiet(
    docker: &Docker,
    claim: &Claim,
    live: &LiveClaims,
    is_settling: bool,
    deadline: &Deadline,
) -> Result<(bool, Vec<Evidence>), Failure> {
    let mut is_deleted = !own_containers(docker, claim, live).await?.is_empty();
    let mut evidence = delete_containers(docker, claim, live).await?;
    let mut quiet = deadline.within(QUIET_PERIOD);
    while is_settling && !quiet.has_passed() {
        quiet.within(INTERVAL).passed().await;
        if !own_containers(docker, claim, live).await?.is_empty() {
            is_deleted = true;
            evidence = delete_containers(docker, claim, live).await?;
            quiet = deadline.within(QUIET_PERIOD);
        }
    }
    Ok((is_deleted, evidence))
}
