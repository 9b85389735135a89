//! What earlier runs of the same cell have left behind: it is removed if the ledger of a dead run claims it. A cluster that nobody's
//! ledger claims stays, whatever it is called.

use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;

use super::claim::Claim;
use super::destroy;
use super::nodes::containers;
use super::reclaim::remove_until_quiet;
use super::work::Work;
use crate::cluster::ClusterName;
use crate::event::{Failure, Symptom};
use crate::machine::marked::Marked;
use crate::machine::{LedgerContents, LedgerError, read_dead};

/// How long the removal of one may take.
const REMOVAL: Duration = Duration::from_secs(60);

/// Removes stale clusters of the cell. Fails if anything else has the name of the cell's own.
pub(super) async fn remove(work: &Work, docker: &Docker) -> Result<(), Failure> {
    let own = work.plan.cluster.as_str();
    let prefix = &work.shared.options.prefix;
    let dead = read_dead(&work.shared.options.state).map_err(|error| ledger_failed(&error))?;
    for (_, contents) in &dead {
        for left in contents.left.iter().filter(|left| left.kept.is_none()) {
            let Some(claim) = Claim::of(&left.resource, &contents.left, false) else {
                continue;
            };
            let is_of_cell = ClusterName::run_of(prefix, &work.plan.cell, &claim.name).is_some();
            if claim.name == own || is_of_cell {
                remove_stale(work, docker, &claim).await?;
            }
        }
    }
    let others = containers(docker, Some(own)).await;
    let others = others.map_err(|error| destroy::engine_failed(&error))?;
    if others.is_empty() {
        return Ok(());
    }
    let is_kept = dead.iter().any(|(_, contents)| is_kept(contents, &others));
    Err(if is_kept { kept(own) } else { foreign(own) })
}

/// Its processes first: a kind that outlived its runner would go on making nodes.
async fn remove_stale(work: &Work, docker: &Docker, claim: &Claim) -> Result<(), Failure> {
    let found = containers(docker, Some(&claim.name)).await;
    let found = found.map_err(|error| destroy::engine_failed(&error))?;
    if !found.iter().any(|container| claim.owns(container)) {
        return Ok(());
    }
    tracing::info!(cluster = claim.name, "removing what a dead run left behind");
    let removing = async {
        let deadline = work.plan.clock.deadline(REMOVAL);
        let mark = Marked::Cell(claim.mark.clone());
        let (killed, _) = mark.kill(&deadline).await;
        remove_until_quiet(docker, claim, killed > 0, &deadline).await
    };
    let removed = work.steps.measure("stale cluster", removing).await;
    removed.map(drop)
}

/// Whether the run of these `contents` kept the cluster of one of `containers`.
fn is_kept(contents: &LedgerContents, containers: &[ContainerSummary]) -> bool {
    let kept = contents.left.iter().filter(|left| left.kept.is_some());
    let mut claims = kept.filter_map(|left| Claim::of(&left.resource, &contents.left, true));
    claims.any(|claim| containers.iter().any(|container| claim.owns(container)))
}

fn ledger_failed(error: &LedgerError) -> Failure {
    Failure::new(Symptom::FilesystemFailed, error.to_string())
}

fn foreign(name: &str) -> Failure {
    Failure::new(
        Symptom::ClusterNotUp,
        format!("a cluster called {name} is there already, and no dead run of ours made it"),
    )
    .with_remedy(format!(
        "delete it with `kind delete cluster --name {name}`, or choose another name"
    ))
}

/// Another run has locked the name.
pub(super) fn in_use(name: &str) -> Failure {
    let message = format!("another run uses the cluster name {name}");
    Failure::new(Symptom::ClusterNotUp, message)
        .with_remedy("wait until that run ends, or choose another name with `--cluster-name`")
}

fn kept(name: &str) -> Failure {
    Failure::new(
        Symptom::ClusterNotUp,
        format!("a cluster called {name} is there already: a run before kept it"),
    )
    .with_remedy(format!(
        "remove it with `e2e-matrix gc --kept` or `kind delete cluster --name {name}`, or choose another name"
    ))
}
