//! Clusters that earlier runs kept: taken over, wiped and used again if they are what a new cluster would be.

use std::fs;
use std::sync::Arc;

use bollard::Docker;
use bollard::models::ContainerSummaryStateEnum;

use super::claim::{Claim, Kept, KindResource};
use super::fingerprint::Fingerprint;
use super::node_state::{self, NodeStates};
use super::nodes::containers;
use super::provider::KindContext;
use super::reuse::Parked;
use super::work::{self, Source, Work};
use super::{access, destroy, wipe};
use crate::cluster::kubernetes::Tenant;
use crate::cluster::milestone::Milestone;
use crate::cluster::{CellPlan, ClusterName};
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::{DeadRun, HostResource, LedgerContents, Lock, private_folder, read_dead};

/// A kept cluster that this run has taken over.
pub(super) struct Adopted {
    pub(super) parked: Parked,
    /// Why it can't be used, if it isn't clean.
    pub(super) problem: Option<String>,
}

/// Takes over and wipes a kept cluster that is like a new cluster for the cell of `plan`, if there is one.
pub(super) async fn adopt(
    shared: &Arc<KindContext>,
    plan: &Arc<CellPlan>,
    deadline: &Deadline,
) -> Result<Option<Adopted>, Failure> {
    let docker = shared.docker().await?;
    let fingerprint = Fingerprint::of(shared, docker, &plan.cell).await?;
    let own = fingerprint.template();
    for run in read_dead(&shared.options.state)? {
        let claims = run.contents.payloads().filter_map(|(_, it)| match it {
            KindResource::Cluster(claim) => Some(claim),
            KindResource::Network(_) => None,
        });
        let alike = |claim: Claim| {
            let kept = claim.kept.clone().filter(|kept| kept.fingerprint == own)?;
            Some((claim, kept))
        };
        let candidates: Vec<_> = claims.filter_map(alike).collect();
        for (claim, kept) in candidates {
            let Some(work) = take_over(shared, plan, docker, &run, claim, &kept).await? else {
                continue;
            };
            forget_if_empty(run)?;
            // This is set once.
            drop(work.fingerprint.set(fingerprint.clone()));
            work::attend(&work);
            let start = plan.clock.elapsed();
            let wiped = deadline.run(clean(&work, plan, &kept)).await;
            shared
                .pool
                .adopted(plan.clock.elapsed().saturating_sub(start));
            let problem = match wiped {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure.message),
                Err(timed_out) => Some(format!("wiping it {timed_out}")),
            };
            let after = kept.cell.clone();
            let parked = Parked {
                work,
                fingerprint,
                after,
            };
            return Ok(Some(Adopted { parked, problem }));
        }
    }
    Ok(None)
}

/// Moves the cluster from the ledger of `run` to that of this run, unless another run was faster or the cluster doesn't
/// run any more.
async fn take_over(
    shared: &Arc<KindContext>,
    plan: &Arc<CellPlan>,
    docker: &Docker,
    run: &DeadRun,
    claim: Claim,
    kept: &Kept,
) -> Result<Option<Arc<Work>>, Failure> {
    let path = shared
        .options
        .state
        .lock(&format!("cluster-{}", claim.name));
    let Some(lock) = Lock::try_take(&path)? else {
        return Ok(None);
    };
    let contents = LedgerContents::read(&run.folder)?;
    let entry = contents.find(&KindResource::Cluster(claim.clone()));
    let Some(entry) = entry.filter(|entry| entry.kept.is_some()) else {
        lock.remove()?;
        return Ok(None);
    };
    if !runs(docker, &claim, kept.nodes.len()).await? {
        lock.remove()?;
        return Ok(None);
    }
    shared.network(&plan.ledger).await?;
    let cluster = ClusterName::exactly(&claim.name)
        .map_err(|error| Failure::new(Symptom::RunnerBug, error.to_string()))?;
    let cluster_plan = Arc::new(plan.in_cluster(cluster, "kept"));
    private_folder(&cluster_plan.runtime).map_err(|error| {
        let message = format!(
            "failed to create {}: {}",
            cluster_plan.runtime.display(),
            chain(&error)
        );
        Failure::new(Symptom::FilesystemFailed, message)
    })?;
    let tenant = Tenant::new(cluster_plan, Arc::new(Milestone::new()));
    let work = Work::new(Arc::clone(shared), &tenant, Source::Kind(None));
    // From here on, this run's claim wins.
    work.take_over(claim, lock, kept)?;
    run.gone(&entry.resource)?;
    forget_folder(run, &contents, kept)?;
    Ok(Some(Arc::new(work)))
}

/// Whether all of its containers run.
async fn runs(docker: &Docker, claim: &Claim, nodes: usize) -> Result<bool, Failure> {
    let found = containers(docker, Some(&claim.name)).await;
    let found = found.map_err(|error| destroy::engine_failed(&error))?;
    let running = |state| state == Some(ContainerSummaryStateEnum::RUNNING);
    let is_own = |container| claim.owns(container);
    Ok(found.len() == nodes && found.iter().all(|it| is_own(it) && running(it.state)))
}

/// Removes the folder of the cell that used the cluster, which is only needed to inspect it.
fn forget_folder(run: &DeadRun, contents: &LedgerContents, kept: &Kept) -> Result<(), Failure> {
    let path = kept.folder.clone();
    let folder = HostResource::Folder { path: path.clone() };
    let Some(entry) = contents
        .find(&folder)
        .filter(|_| path.starts_with(&run.folder))
    else {
        return Ok(());
    };
    fs::remove_dir_all(&path).map_err(|error| {
        let message = format!("failed to remove {}: {}", path.display(), chain(&error));
        Failure::new(Symptom::FilesystemFailed, message)
    })?;
    Ok(run.gone(&entry.resource)?)
}

/// Forgets a run of which nothing is left.
fn forget_if_empty(run: DeadRun) -> Result<(), Failure> {
    let contents = LedgerContents::read(&run.folder)?;
    if contents
        .left
        .iter()
        .any(|left| left.kept.is_some() || left.is_unwanted())
    {
        return Ok(());
    }
    let folder = run.folder.clone();
    run.forget().map_err(|error| {
        let message = format!("failed to remove {}: {}", folder.display(), chain(&error));
        Failure::new(Symptom::FilesystemFailed, message)
    })
}

/// Removes what the last cell left. Then the state of the nodes is that before the next cell.
async fn clean(work: &Work, plan: &CellPlan, kept: &Kept) -> Result<(), Failure> {
    let evidence = wipe::wipe(work, &kept.tracks, &kept.before).await?;
    if let Some(left) = evidence.iter().find(|row| !row.holds) {
        let message = format!("{}: {}", left.subject, left.seen);
        return Err(Failure::new(Symptom::CleanupIncomplete, message));
    }
    access::write_for_users(work).await?;
    let paths = node_state::host_paths(&plan.rendered);
    let before: NodeStates = node_state::look(work, &paths).await?;
    work.before.set(Ok(before));
    Ok(())
}
