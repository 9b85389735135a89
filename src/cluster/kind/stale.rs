//! What earlier runs of the same cell have left behind, and what may be deleted of it: clusters of our grammar whose run is dead.
//! Nothing else ever is.

use bollard::Docker;

use super::nodes::{clusters, containers};
use super::work::Work;
use super::{destroy, provider::Shared};
use crate::cluster::ClusterName;
use crate::event::{Failure, Symptom};
use crate::machine::{LedgerError, Resource, StateFolder, is_dead, outstanding};

/// Removes stale clusters of the cell. Fails where a cluster that is not ours to delete has the name of the cell's own.
pub(super) async fn remove(work: &Work, docker: &Docker) -> Result<(), Failure> {
    let engine = |error| destroy::engine_failed(&error);
    let found = containers(docker, None).await.map_err(engine)?;
    for name in clusters(&found) {
        if is_stale(&work.shared, work, &name).map_err(|error| ledger_failed(&error))? {
            tracing::info!(cluster = name, "removing what a dead run left behind");
            let removing = destroy::remove_containers(docker, &name);
            work.steps.measure("stale cluster", removing).await?;
        } else if name == work.plan.cluster.as_str() {
            return Err(foreign(&name));
        }
    }
    Ok(())
}

fn is_stale(shared: &Shared, work: &Work, name: &str) -> Result<bool, LedgerError> {
    let state = &shared.options.state;
    match ClusterName::run_of(&shared.options.prefix, &work.plan.cell, name) {
        Some(run) => is_dead(state, run),
        // A name that the user chose names no run: only a ledger can.
        None if name == work.plan.cluster.as_str() => planned_by_the_dead(state, name),
        None => Ok(false),
    }
}

/// Whether the ledger of a dead run says that it made the cluster `name`.
fn planned_by_the_dead(state: &StateFolder, name: &str) -> Result<bool, LedgerError> {
    let cluster = Resource::KindCluster {
        name: name.to_owned(),
    };
    let runs = state.runs().map_err(|source| LedgerError::Io {
        path: state.path().to_owned(),
        source,
    })?;
    for run in runs {
        if is_dead(state, &run)? && outstanding(&state.run(&run))?.contains(&cluster) {
            return Ok(true);
        }
    }
    Ok(false)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Ledger;

    #[test]
    fn only_a_dead_run_that_planned_it_makes_a_cluster_ours() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        assert!(!planned_by_the_dead(&state, "mine").unwrap());
        let ledger = Ledger::open(&state, "abcde").unwrap();
        let name = "mine".to_owned();
        ledger.plan(Resource::KindCluster { name }).unwrap();
        assert!(
            !planned_by_the_dead(&state, "mine").unwrap(),
            "its run lives"
        );
        drop(ledger);
        assert!(planned_by_the_dead(&state, "mine").unwrap());
        assert!(!planned_by_the_dead(&state, "other").unwrap());
    }
}
