//! Deletes clusters that earlier runs of the same cell left behind, if the ledger of a dead run claims them. A cluster
//! that isn't in any ledger isn't deleted, even if it has the name of a cell's cluster.

use bollard::Docker;

use super::claim::clusters;
use super::nodes::containers;
use super::provider::DELETION_TIMEOUT;
use super::reclaim;
use super::work::Work;
use crate::cluster::ClusterName;
use crate::cluster::reclaim::Entry;
use crate::event::{Failure, Symptom};
use crate::machine::{LiveClaims, read_dead};

/// Deletes stale clusters of the cell. Fails if something else has the name of the cell's own cluster.
pub(super) async fn delete(work: &Work, docker: &Docker) -> Result<(), Failure> {
    let own = work.plan.cluster.as_str();
    let (prefix, state) = (&work.shared.options.prefix, &work.shared.options.state);
    let live = LiveClaims::except(state, work.plan.ledger.run());
    let dead = read_dead(state)?;
    for run in &dead {
        let clusters = clusters(&run.contents);
        for (left, claim) in clusters.filter(|(left, _)| left.kept.is_none()) {
            let is_of_cell = ClusterName::run_of(prefix, &work.plan.cell, &claim.name).is_some();
            if claim.name == own || is_of_cell {
                let entry = Entry {
                    run: &run.token,
                    folder: &run.folder,
                    age: run.age,
                    resource: &left.resource,
                    dry_run: false,
                    deadline: &work.plan.clock.deadline(DELETION_TIMEOUT),
                };
                let deleting = reclaim::cluster(docker, &claim, &entry, &live);
                work.steps.measure("stale cluster", deleting).await?;
            }
        }
    }
    let others = containers(docker, Some(own)).await?;
    if others.is_empty() {
        return Ok(());
    }
    let claimed = dead.iter().flat_map(|run| clusters(&run.contents));
    let mut kept = claimed.filter(|(left, _)| left.kept.is_some());
    let is_kept = kept.any(|(_, claim)| others.iter().any(|container| claim.owns(container)));
    let (why, gc) = if is_kept {
        (": an earlier run kept it", "`e2e-matrix gc --kept` or ")
    } else {
        (", and no earlier run on this machine created it", "")
    };
    let message = format!("a cluster called {own} already exists{why}");
    let remedy =
        format!("delete it with {gc}`kind delete cluster --name {own}`, or choose another name");
    Err(Failure::new(Symptom::ClusterNotUp, message).with_remedy(remedy))
}

/// The failure if another run has locked the name.
pub(super) fn in_use(name: &str) -> Failure {
    let message = format!("another run uses the cluster name {name}");
    Failure::new(Symptom::ClusterNotUp, message)
        .with_remedy("wait until that run ends, or choose another name with `--cluster-name`")
}
