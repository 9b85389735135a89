//! Takes over clusters that earlier runs kept, so that cells can reuse them. A kept cluster is reused only if its
//! fingerprint matches that of a new cluster, and it is wiped first.

use std::path::Path;
use std::sync::Arc;

use bollard::models::ContainerSummaryStateEnum;

use super::claim::{Claim, Kept, KindResource, clusters};
use super::destroy::filesystem_failed;
use super::nodes::containers;
use super::provider::KindContext;
use super::reuse::Parked;
use super::wipe;
use super::work::{self, Source, Work};
use crate::cluster::CellPlan;
use crate::cluster::kubernetes::Tenant;
use crate::cluster::milestone::Milestone;
use crate::deadline::Deadline;
use crate::event::Failure;
use crate::machine::{DeadRun, HostResource, LedgerContents, StateFolder, read_dead, remove_tree};

/// Takes over and wipes a kept cluster whose fingerprint matches that of a new cluster for the cell of `plan`, if there
/// is one. Deletes the cluster if it can't be wiped.
pub(super) async fn adopt(
    shared: &Arc<KindContext>,
    plan: &Arc<CellPlan>,
    deadline: &Deadline,
) -> Result<Option<Parked>, Failure> {
    let fingerprint = shared.fingerprint(&plan.cell).await?;
    let own = fingerprint.template();
    for run in read_dead(&shared.options.state)? {
        for (_, mut claim) in clusters(&run.contents) {
            let kept = claim.kept.take();
            let Some(kept) = kept.filter(|kept| kept.fingerprint == own) else {
                continue;
            };
            let Some(work) = take_over(shared, plan, &run, claim, &kept).await? else {
                continue;
            };
            // The fingerprint of this cluster is set only here.
            drop(work.fingerprint.set(fingerprint.clone()));
            work::attach(&work);
            let wiped = wipe::wipe(&work, &kept.leftovers, deadline).await;
            let parked = Parked {
                work,
                fingerprint,
                after: kept.cell,
            };
            let Err(failure) = wiped else {
                return Ok(Some(parked));
            };
            shared.reject(&parked, &failure.message).await;
            return Ok(None);
        }
    }
    Ok(None)
}

/// Moves the cluster from the ledger of `run` to that of this run. Returns `None` if another run was faster, or if the
/// cluster is no longer running.
async fn take_over(
    shared: &Arc<KindContext>,
    plan: &Arc<CellPlan>,
    run: &DeadRun,
    claim: Claim,
    kept: &Kept,
) -> Result<Option<Arc<Work>>, Failure> {
    let Some(lock) = shared.lock_name(&claim.name)? else {
        return Ok(None);
    };
    let contents = LedgerContents::read(&run.folder)?;
    let entry = contents.find(&KindResource::Cluster(claim.clone()));
    let is_running = is_running(shared, &claim, kept.nodes.len()).await?;
    let Some(entry) = entry.filter(|entry| entry.kept.is_some() && is_running) else {
        lock.remove()?;
        return Ok(None);
    };
    shared.network(&plan.ledger).await?;
    let cluster_plan = Arc::new(plan.in_cluster(&claim.name, "kept")?);
    let tenant = Tenant::new(cluster_plan, Arc::new(Milestone::new()));
    let work = Work::new(Arc::clone(shared), &tenant, Source::Kind(None));
    // From here on, this run's claim takes precedence.
    work.take_over(claim, lock, kept.clone())?;
    run.gone(&entry.resource)?;
    Ok(Some(Arc::new(work)))
}

/// Whether all containers of the cluster are running, and no others have its name.
async fn is_running(shared: &KindContext, claim: &Claim, nodes: usize) -> Result<bool, Failure> {
    let found = containers(shared.docker().await?, Some(&claim.name)).await?;
    let running = |state| state == Some(ContainerSummaryStateEnum::RUNNING);
    let is_own = |container| claim.owns(container);
    Ok(found.len() == nodes && found.iter().all(|it| is_own(it) && running(it.state)))
}

/// Called when the cluster was deleted. Deletes the folders that earlier runs kept for it, and the ledgers of these
/// runs if nothing else is in them. If this fails, `gc --kept` deletes them.
pub(super) fn forget_earlier_runs(work: &Work) {
    for path in work.earlier_folders() {
        if let Err(failure) = forget_folder(&work.shared.options.state, path) {
            tracing::warn!(%failure, "a folder that an earlier run kept still exists");
        }
    }
}

fn forget_folder(state: &StateFolder, path: &Path) -> Result<(), Failure> {
    let mut dead = read_dead(state)?.into_iter();
    let Some(run) = dead.find(|run| path.starts_with(&run.folder)) else {
        return Ok(());
    };
    let failed = |error| filesystem_failed("delete", path, &error);
    let folder = HostResource::Folder {
        path: path.to_owned(),
    };
    if let Some(entry) = run.contents.find(&folder) {
        remove_tree(path).map_err(failed)?;
        run.gone(&entry.resource)?;
    }
    if LedgerContents::read(&run.folder)?.is_settled() {
        run.forget().map_err(failed)?;
    }
    Ok(())
}
