//! What earlier runs of the same cell have left behind, and what may be deleted of it: clusters of our grammar whose run is dead.
//! Nothing else ever is.

use std::collections::BTreeSet;

use bollard::Docker;

use super::destroy;
use super::nodes::{clusters, containers};
use super::work::Work;
use crate::cluster::ClusterName;
use crate::event::{Failure, Symptom};
use crate::machine::{LedgerError, StateFolder, read_dead};

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
            Claim::Stale => {
                tracing::info!(cluster = name, "removing what a dead run left behind");
                let removing = destroy::remove_containers(docker, &name, BTreeSet::new());
                work.steps.measure("stale cluster", removing).await?;
            }
            Claim::Kept if is_own_name => return Err(kept(&name)),
            Claim::None if is_own_name => return Err(foreign(&name)),
            Claim::Kept | Claim::None => {}
        }
    }
    Ok(())
}

/// What the ledgers of dead runs say of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// One of them made it.
    Stale,
    /// One of them made it, and left it there on purpose.
    Kept,
    /// It is a live run's, or was never ours.
    None,
}

/// The name alone is no proof: whoever knows the grammar can make one like it.
fn look(state: &StateFolder, name: &str) -> Result<Claim, LedgerError> {
    for (_, contents) in read_dead(state)? {
        if let Some(left) = contents.cluster(name) {
            let is_kept = left.kept.is_some();
            return Ok(if is_kept { Claim::Kept } else { Claim::Stale });
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
        assert_eq!(look(&state, "mine").unwrap(), Claim::Stale);
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
