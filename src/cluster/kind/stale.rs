//! What earlier runs of the same cell have left behind, and what may be deleted of it: clusters of our grammar whose run is dead.
//! Nothing else ever is.

use std::collections::BTreeSet;
use std::time::Duration;

use bollard::Docker;

use super::destroy;
use super::nodes::{clusters, containers};
use super::reclaim::remove_until_quiet;
use super::work::Work;
use crate::cluster::ClusterName;
use crate::event::{Failure, Symptom};
use crate::machine::marked::Marked;
use crate::machine::{LedgerError, StateFolder, read_dead};

/// How long the removal of one may take.
const REMOVAL: Duration = Duration::from_secs(60);

/// Removes stale clusters of the cell. Fails where a cluster that is not ours to delete has the name of the cell's own.
pub(super) async fn remove(work: &Work, docker: &Docker) -> Result<(), Failure> {
    let engine = |error| destroy::engine_failed(&error);
    let found = containers(docker, None).await.map_err(engine)?;
    for name in clusters(&found) {
        let is_own_name = name == work.plan.cluster.as_str();
        let prefix = &work.shared.options.prefix;
        let is_of_cell = ClusterName::run_of(prefix, &work.plan.cell, &name).is_some();
        if !is_own_name && !is_of_cell {
            continue;
        }
        let state = &work.shared.options.state;
        match look(state, &name).map_err(|error| ledger_failed(&error))? {
            Claim::Stale(run) => {
                tracing::info!(cluster = name, "removing what a dead run left behind");
                let removing = remove_stale(work, docker, &name, run);
                work.steps.measure("stale cluster", removing).await?;
            }
            Claim::Kept if is_own_name => return Err(kept(&name)),
            Claim::None if is_own_name => return Err(foreign(&name)),
            Claim::Kept | Claim::None => {}
        }
    }
    Ok(())
}

/// Its processes first: a kind that outlived its runner would go on making nodes.
async fn remove_stale(
    work: &Work,
    docker: &Docker,
    name: &str,
    run: String,
) -> Result<(), Failure> {
    let deadline = work.plan.clock.deadline(REMOVAL);
    let (killed, _) = Marked::Run(run).kill(&deadline).await;
    let none_known = BTreeSet::new();
    let removing = remove_until_quiet(docker, name, &none_known, killed > 0, &deadline);
    removing.await.map(|_| ())
}

/// What the ledgers of dead runs say of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Claim {
    /// The one with this token made it.
    Stale(String),
    /// One of them made it, and left it there on purpose.
    Kept,
    /// It is a live run's, or was never ours.
    None,
}

/// The name alone is no proof: whoever knows the grammar can make one like it.
fn look(state: &StateFolder, name: &str) -> Result<Claim, LedgerError> {
    for (run, contents) in read_dead(state)? {
        match contents.cluster(name) {
            Some(left) if left.kept.is_some() => return Ok(Claim::Kept),
            Some(_) => return Ok(Claim::Stale(run)),
            None => {}
        }
    }
    Ok(Claim::None)
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

fn kept(name: &str) -> Failure {
    Failure::new(
        Symptom::ClusterNotUp,
        format!("a cluster called {name} is there already: a run before kept it"),
    )
    .with_remedy(format!(
        "remove it with `e2e-matrix gc --kept` or `kind delete cluster --name {name}`, or choose another name"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Ledger, Owner, Resource};

    #[test]
    fn only_a_dead_run_that_planned_it_makes_a_cluster_ours() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        assert_eq!(look(&state, "mine").unwrap(), Claim::None);
        let ledger = Ledger::open(&state, Owner::new("abcde", "out")).unwrap();
        let cluster = Resource::KindCluster {
            name: "mine".to_owned(),
            nodes: Vec::new(),
        };
        ledger.plan(cluster.clone()).unwrap();
        assert_eq!(look(&state, "mine").unwrap(), Claim::None, "its run lives");
        drop(ledger);
        let stale = Claim::Stale("abcde".to_owned());
        assert_eq!(look(&state, "mine").unwrap(), stale);
        assert_eq!(look(&state, "other").unwrap(), Claim::None);
    }

    #[test]
    fn what_was_kept_is_not_stale() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = Ledger::open(&state, Owner::new("abcde", "out")).unwrap();
        let cluster = Resource::KindCluster {
            name: "mine".to_owned(),
            nodes: Vec::new(),
        };
        ledger.plan(cluster.clone()).unwrap();
        ledger.keep(cluster, Vec::new()).unwrap();
        drop(ledger);
        assert_eq!(look(&state, "mine").unwrap(), Claim::Kept);
    }
}
