//! Takes over clusters that earlier runs kept, and wipes and reuses those that are like a new cluster.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bollard::Docker;
use bollard::models::ContainerSummaryStateEnum;

use super::claim::{Claim, Kept, KindResource};
use super::destroy::{engine_failed, filesystem_failed};
use super::fingerprint::Fingerprint;
use super::node_state::{self, NodeStates};
use super::nodes::containers;
use super::provider::KindContext;
use super::reuse::Parked;
use super::work::{self, Source, Work};
use super::{access, stale, wipe};
use crate::cluster::CellPlan;
use crate::cluster::kubernetes::Tenant;
use crate::cluster::milestone::Milestone;
use crate::deadline::Deadline;
use crate::event::{Failure, Symptom};
use crate::machine::{
    DeadRun, HostResource, LedgerContents, StateFolder, private_folder, read_dead,
};

/// A kept cluster that this run has taken over.
pub(super) struct Adopted {
    pub(super) parked: Parked,
    /// Why it can't be used; `None` if it is clean.
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
        let candidates = stale::clusters(&run).filter_map(|(_, claim)| {
            let kept = claim.kept.clone().filter(|kept| kept.fingerprint == own)?;
            Some((claim, kept))
        });
        let candidates: Vec<_> = candidates.collect();
        for (claim, kept) in candidates {
            let Some(work) = take_over(shared, plan, docker, &run, claim, &kept).await? else {
                continue;
            };
            // The fingerprint of this cluster is set only here.
            drop(work.fingerprint.set(fingerprint.clone()));
            work::attach(&work);
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

/// Moves the cluster from the ledger of `run` to that of this run. Returns `None` if another run was faster, or if the
/// cluster doesn't run any more.
async fn take_over(
    shared: &Arc<KindContext>,
    plan: &Arc<CellPlan>,
    docker: &Docker,
    run: &DeadRun,
    claim: Claim,
    kept: &Kept,
) -> Result<Option<Arc<Work>>, Failure> {
    let Some(lock) = shared.lock_name(&claim.name)? else {
        return Ok(None);
    };
    let contents = LedgerContents::read(&run.folder)?;
    let entry = contents.find(&KindResource::Cluster(claim.clone()));
    let Some(entry) = entry.filter(|entry| entry.kept.is_some()) else {
        lock.remove()?;
        return Ok(None);
    };
    if !is_running(docker, &claim, kept.nodes.len()).await? {
        lock.remove()?;
        return Ok(None);
    }
    shared.network(&plan.ledger).await?;
    let cluster_plan = Arc::new(plan.in_cluster(&claim.name, "kept")?);
    let folder = &cluster_plan.runtime;
    private_folder(folder).map_err(|error| filesystem_failed("create", folder, &error))?;
    let tenant = Tenant::new(cluster_plan, Arc::new(Milestone::new()));
    let work = Work::new(Arc::clone(shared), &tenant, Source::Kind(None));
    // From here on, this run's claim wins.
    work.take_over(claim, lock, kept)?;
    run.gone(&entry.resource)?;
    Ok(Some(Arc::new(work)))
}

/// Whether all containers of the cluster run, and no others have its name.
async fn is_running(docker: &Docker, claim: &Claim, nodes: usize) -> Result<bool, Failure> {
    let found = containers(docker, Some(&claim.name)).await;
    let found = found.map_err(engine_failed)?;
    let running = |state| state == Some(ContainerSummaryStateEnum::RUNNING);
    let is_own = |container| claim.owns(container);
    Ok(found.len() == nodes && found.iter().all(|it| is_own(it) && running(it.state)))
}

/// Deletes what earlier runs kept of a cluster that is deleted now: their folders, and their ledgers if nothing else is
/// in them. If that fails, `gc --kept` deletes them.
pub(super) fn forget_earlier_runs(work: &Work) {
    for path in work.earlier_folders() {
        if let Err(failure) = forget_folder(&work.shared.options.state, path) {
            tracing::warn!(%failure, "a folder that an earlier run kept still exists");
        }
    }
}

fn forget_folder(state: &StateFolder, path: &Path) -> Result<(), Failure> {
    let below = path.strip_prefix(state.runs()).ok();
    let run = below.and_then(|path| path.components().next());
    let Some(run) = run.map(|token| DeadRun::read(state.runs().join(token))) else {
        return Ok(());
    };
    let Some(run) = run? else {
        return Ok(());
    };
    let failed = |error| filesystem_failed("delete", path, &error);
    let folder = HostResource::Folder {
        path: path.to_owned(),
    };
    if let Some(entry) = run.contents.find(&folder) {
        fs::remove_dir_all(path).map_err(failed)?;
        run.gone(&entry.resource)?;
    }
    if LedgerContents::read(&run.folder)?.is_settled() {
        run.forget().map_err(failed)?;
    }
    Ok(())
}

/// Deletes what the last cell left, then reads the state of the nodes before the next cell.
async fn clean(work: &Work, plan: &CellPlan, kept: &Kept) -> Result<(), Failure> {
    let evidence = wipe::wipe(work, &kept.leftovers, &kept.before).await?;
    if let Some(left) = evidence.iter().find(|row| !row.holds) {
        let message = format!("{}: {}", left.subject, left.seen);
        return Err(Failure::new(Symptom::CleanupIncomplete, message));
    }
    access::write_for_users(work).await?;
    let paths = node_state::host_paths(&plan.rendered);
    let before: NodeStates = node_state::read(work, &paths).await?;
    work.before.set(Ok(before));
    Ok(())
}
