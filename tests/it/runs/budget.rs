//! Many runs at once on one machine: they share one budget, and one history of how long cells take.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use e2e_matrix::event::{CellVerdict, Event, Record};
use e2e_matrix::machine::budget::RESERVED;
use e2e_matrix::record::{self, RunModel};

use crate::runs::scripted::{prepare, run};
use crate::support::Scratch;
use crate::support::overlap::most_at_once;

/// How many runs are active at once, with one cell each.
const RUNS: usize = 20;
/// Far longer than all runs should take one after another; a run that hangs is killed and its output is shown.
const PATIENCE: Duration = Duration::from_secs(280);

/// The slots of a machine with enough memory for all of them.
fn slots() -> usize {
    thread::available_parallelism().unwrap().get() * 8
}

/// The records of all runs in `scratch`.
fn records(scratch: &Scratch) -> Vec<Vec<Record>> {
    let entries = fs::read_dir(scratch.path().join("target/e2e-matrix")).unwrap();
    let paths: BTreeSet<PathBuf> = entries
        .map(|entry| fs::canonicalize(entry.unwrap().path()).unwrap())
        .collect();
    let read = |path: PathBuf| record::read(&path.join(record::FILE_NAME)).unwrap();
    paths.into_iter().map(read).collect()
}

/// The file in which runs in `scratch` store how long cells took.
fn history(scratch: &Scratch) -> PathBuf {
    scratch.path().join("state/history.json")
}

/// The cells of the newest run, in the order in which they started.
fn started(scratch: &Scratch) -> Vec<String> {
    let path = crate::support::record::folder(scratch).join(record::FILE_NAME);
    let records = record::read(&path).unwrap();
    let begun = records.iter().filter_map(|record| match &record.event {
        Event::CellStarted { cell, .. } => Some(cell.to_string()),
        _ => None,
    });
    begun.collect()
}

#[test]
fn the_slowest_cells_start_first_and_reports_keep_the_order_of_the_matrix() {
    let scratch = prepare(&["a", "b"], "nothing");
    let before =
        "{\"version\":1,\"cells\":{\"local\":{\"k8s-1.36-n1-a\":[9],\"k8s-1.36-n1-b\":[60000]}}}";
    fs::write(history(&scratch), before).unwrap();
    let (output, exit) = run(&scratch, &["--jobs", "1"]);
    assert_eq!(exit, Some(0), "{output}");
    assert_eq!(started(&scratch), ["k8s-1.36-n1-b", "k8s-1.36-n1-a"]);
    let model = crate::support::record::read(&scratch);
    let ids = model.cells.iter().map(|cell| cell.summary.id.as_str());
    assert_eq!(ids.collect::<Vec<_>>(), ["k8s-1.36-n1-a", "k8s-1.36-n1-b"]);
    let after = fs::read_to_string(history(&scratch)).unwrap();
    assert!(
        after.len() > before.len(),
        "both durations are stored: {after}"
    );
}

#[test]
fn a_damaged_history_is_a_warning() {
    let scratch = prepare(&["a"], "nothing");
    fs::write(history(&scratch), "{\"version\":1,\"ce").unwrap();
    let (output, exit) = run(&scratch, &[]);
    assert_eq!(exit, Some(0), "{output}");
    assert!(output.contains("warning: failed to read the durations of earlier runs"));
    let after = fs::read_to_string(history(&scratch)).unwrap();
    assert!(
        after.contains("k8s-1.36-n1-a"),
        "the history is replaced: {after}"
    );
}

#[test]
fn twenty_runs_at_once_share_one_budget() {
    // Each run's cell has a weight such that not all runs fit on the machine at once, however large the machine is.
    let weight = slots().div_ceil(RUNS - 1);
    let nodes = 1 + (weight - 1) * 8;
    let scratch = prepare(&["fast"], "nothing");
    let file = scratch.path().join("matrix.toml");
    let text = fs::read_to_string(&file).unwrap();
    let axis = format!("[matrix]\nnodes = [{nodes}]\n");
    fs::write(&file, text.replace("[matrix]\n", &axis)).unwrap();
    thread::scope(|scope| {
        for _ in 0..RUNS {
            scope.spawn(|| {
                let mut command = scratch.command(&["--provider", "local"]);
                command.timeout(PATIENCE).assert().success();
            });
        }
    });
    let records = records(&scratch);
    assert_eq!(records.len(), RUNS);
    let models: Vec<_> = records.iter().map(RunModel::new).collect();
    let cells: Vec<_> = models.iter().flat_map(|model| &model.cells).collect();
    assert!(cells.iter().all(|cell| cell.verdict == CellVerdict::Passed));
    let clusters: BTreeSet<_> = cells.iter().map(|cell| &cell.cluster).collect();
    assert_eq!(clusters.len(), RUNS, "each cluster has its own name");
    let most = most_at_once(&records) * weight;
    let reserved = if weight == 1 { RESERVED } else { 0 };
    let total = slots() + reserved;
    assert!(most <= total, "{most} of {total} slots");
}
