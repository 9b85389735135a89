//! Several concurrent runs of the same matrix, on real clusters, don't affect each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::kill::{INHERITED, docker};
use crate::support::inherited::inherited;
use crate::support::{Scratch, quick_matrix};
use e2e_matrix::event::Record;
use e2e_matrix::record::model::CellModel;
use e2e_matrix::record::{self, RunModel};

const RUNS: usize = 4;
const PREFIX: &str = "together";
/// Texts, in lower case, in the errors of the engine and of kind if something exists or is used already.
const COLLISIONS: [&str; 5] = ["already", "ambiguous", "conflict", "in use", "in progress"];
/// Far longer than all runs should take one after another. A run that hangs is killed, and its output is shown.
const PATIENCE: Duration = Duration::from_secs(540);

#[test]
#[ignore = "needs kind (creates 4 clusters)"]
fn four_runs_of_one_matrix_do_not_collide() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), quick_matrix("1.34")).unwrap();
    thread::scope(|scope| {
        for _ in 0..RUNS {
            scope.spawn(|| run(&scratch));
        }
    });
    let records = records(&scratch);
    assert_eq!(records.len(), RUNS);
    let models: Vec<_> = records.iter().map(RunModel::new).collect();
    let cells: Vec<_> = models.iter().flat_map(|model| &model.cells).collect();
    // On a busy machine, a cluster may need a second attempt, but not because of another run.
    let attempts = cells.iter().flat_map(|cell| cell.attempts());
    let failed = attempts.filter_map(CellModel::failed_phase);
    let outcomes: Vec<_> = failed
        .map(|phase| format!("{:?}", phase.outcome).to_lowercase())
        .collect();
    let collided = |outcome: &String| COLLISIONS.iter().any(|text| outcome.contains(text));
    assert!(!outcomes.iter().any(collided), "{outcomes:?}");
    let clusters: BTreeSet<_> = cells.iter().map(|cell| &cell.cluster).collect();
    assert_eq!(clusters.len(), RUNS, "each cluster has its own name");
    let images: BTreeSet<_> = cells
        .iter()
        .map(|cell| &cell.facts.as_ref().unwrap().agent)
        .collect();
    assert_eq!(images.len(), 1, "all runs use one image: {images:?}");
    assert_eq!(nodes_left(), "");
    assert_eq!(below(&scratch, "state/runs"), [] as [PathBuf; 0]);
    assert_eq!(below(&scratch, "state/locks"), [] as [PathBuf; 0]);
    assert_eq!(below(&scratch, "tmp"), [] as [PathBuf; 0]);
    assert_eq!(below(&scratch, "home"), [] as [PathBuf; 0]);
}

fn run(scratch: &Scratch) {
    let mut command = scratch.command(&["--provider", "kind", "--cluster-prefix", PREFIX]);
    command.envs(inherited(&INHERITED));
    command.timeout(PATIENCE).assert().success();
}

/// The records of all runs in `scratch`.
fn records(scratch: &Scratch) -> Vec<Vec<Record>> {
    let runs = below(scratch, "target/e2e-matrix").into_iter();
    let runs: BTreeSet<PathBuf> = runs.map(|run| fs::canonicalize(run).unwrap()).collect();
    let read = |run: PathBuf| record::read(&run.join(record::FILE_NAME)).unwrap();
    runs.into_iter().map(read).collect()
}

/// The nodes of these runs' clusters that still exist.
fn nodes_left() -> String {
    let filter = format!("name={PREFIX}-");
    docker(&["ps", "--all", "--quiet", "--filter", &filter])
}

fn below(scratch: &Scratch, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(scratch.path().join(folder))
        .into_iter()
        .flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}
