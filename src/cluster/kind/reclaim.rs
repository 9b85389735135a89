//! Finds and removes what dead runs have left in the container engine, with nothing but their ledgers.
//!
//! Removes only what a ledger claims and no live run does, or what has our label.

use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use tokio::sync::OnceCell;

use super::claim::{Claim, KindResource, Live};
use super::destroy::{engine_failed, own_containers, remove_containers};
use super::{network, nodes, stored_images};
use crate::cluster::ClusterName;
use crate::cluster::images::{self, LABEL};
use crate::cluster::reclaim::{Entry, Reclaim, Reclaimed, incomplete};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::machine::marked::Marked;
use crate::machine::{LedgerContents, LiveClaims, Payload, StateFolder, folders};

/// How long the engine may take to respond.
const ANSWERS: Duration = Duration::from_secs(10);
/// How long after the last sign of life of a run its clients may still be working in the engine.
const FRESH: Duration = Duration::from_secs(30);
/// How long the engine may still be creating a container for a client that is dead.
const SETTLED: Duration = Duration::from_secs(3);
/// How often to check for it in the meantime.
const LOOK: Duration = Duration::from_millis(250);

/// The part of the provider that reclaims. It works without an engine if there is nothing to reclaim.
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
        reclaimed.map_err(|timed_out| incomplete(format!("its removal {timed_out}")))?
    }
}

impl KindReclaimer {
    /// A reclaimer that connects to the engine when it has to, and stops at `deadline`.
    pub fn new(deadline: Deadline) -> Self {
        let docker = OnceCell::new();
        Self { docker, deadline }
    }

    async fn docker(&self) -> Result<&Docker, Failure> {
        let connecting = async {
            let answers = self.deadline.within(ANSWERS);
            answers.run(images::connect()).await.unwrap_or_else(|late| {
                let message = format!("the container engine {late}");
                Err(Failure::new(Symptom::EngineGone, message))
            })
        };
        let connected = self.docker.get_or_init(|| connecting).await;
        connected.as_ref().map_err(Clone::clone)
    }

    /// The clusters whose names follow our grammar, but which aren't in any ledger here.
    pub async fn strangers(&self, state: &StateFolder) -> Result<Vec<String>, Failure> {
        let found = nodes::containers(self.docker().await?, None).await;
        let found = found.map_err(|error| engine_failed(&error))?;
        let folders = folders(state)?;
        let ledgers = folders
            .iter()
            .filter_map(|it| LedgerContents::read(it).ok());
        let ledgers: Vec<_> = ledgers.collect();
        let is_in = |contents: &LedgerContents, name: &str| {
            let is_it = |(_, it)| matches!(it, KindResource::Cluster(claim) if claim.name == name);
            contents.payloads().any(is_it)
        };
        let mut clusters = nodes::clusters(&found);
        clusters.retain(|name| {
            ClusterName::matches_grammar(name) && !ledgers.iter().any(|ledger| is_in(ledger, name))
        });
        Ok(clusters.into_iter().collect())
    }

    /// The images with our label, by name, or by id if they have none.
    pub async fn images(&self) -> Result<Vec<String>, Failure> {
        let images = stored_images::with_label(self.docker().await?, LABEL).await?;
        Ok(images.into_iter().flat_map(stored_images::names).collect())
    }

    /// Removes an image. Returns whether it is gone: an image that a container uses stays.
    pub async fn remove_image(&self, name: &str) -> Result<bool, Failure> {
        stored_images::remove(self.docker().await?, name, false).await
    }
}

/// Removes the containers and volumes of the dead run's cluster `claim`. Its processes are killed first, because a kind
/// that outlived its runner would go on creating nodes.
pub(super) async fn cluster(
    docker: &Docker,
    claim: &Claim,
    entry: &Entry<'_>,
    live: &LiveClaims,
) -> Result<Reclaimed, Failure> {
    entry.check_mark(&claim.mark)?;
    let read = || Live::read(live);
    let mark = Marked::Cell(claim.mark.clone());
    if entry.dry_run {
        let own = own_containers(docker, claim, &read()?).await?;
        return if own.is_empty() {
            absent(docker, claim, &read()?).await
        } else {
            Ok(Reclaimed::Present)
        };
    }
    let (killed, left) = mark.kill(entry.deadline).await;
    if !left.is_empty() {
        return Err(incomplete(format!(
            "its processes are still running: {left:?}"
        )));
    }
    let is_settling = killed > 0 || entry.age < FRESH;
    let (is_removed, evidence) =
        remove_until_quiet(docker, claim, &read()?, is_settling, entry.deadline).await?;
    let left = evidence.iter().filter(|row| !row.holds);
    let left: Vec<_> = left
        .map(|row| format!("{}: {}", row.subject, row.seen))
        .collect();
    if !left.is_empty() {
        return Err(incomplete(left.join("; ")));
    }
    if is_removed {
        return Ok(Reclaimed::Removed);
    }
    absent(docker, claim, &read()?).await
}

/// Nothing is left of the cluster, but something else may have its name.
async fn absent(docker: &Docker, claim: &Claim, live: &Live) -> Result<Reclaimed, Failure> {
    let found = nodes::containers(docker, Some(&claim.name)).await;
    let found = found.map_err(|error| engine_failed(&error))?;
    let reason = "that run did not create it; `kind delete cluster` deletes it";
    Ok(if found.iter().all(|container| live.owns(container)) {
        Reclaimed::Absent
    } else {
        Reclaimed::Foreign(reason.to_owned())
    })
}

/// Removes the containers of `claim` and their volumes. If the engine may still be working for a dead client, repeats
/// this until no more appear. Returns whether there were any.
async fn remove_until_quiet(
    docker: &Docker,
    claim: &Claim,
    live: &Live,
    settling: bool,
    deadline: &Deadline,
) -> Result<(bool, Vec<Evidence>), Failure> {
    let mut is_removed = !own_containers(docker, claim, live).await?.is_empty();
    let mut evidence = remove_containers(docker, claim, live).await?;
    let mut quiet = deadline.within(SETTLED);
    while settling && !quiet.has_passed() {
        quiet.within(LOOK).passed().await;
        if !own_containers(docker, claim, live).await?.is_empty() {
            is_removed = true;
            evidence = remove_containers(docker, claim, live).await?;
            quiet = deadline.within(SETTLED);
        }
    }
    Ok((is_removed, evidence))
}
