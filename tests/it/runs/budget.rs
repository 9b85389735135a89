//! Many runs at once on one machine: the budget is one for all of them, and so is what they learn of how long cells take.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use e2e_matrix::event::{CellVerdict, Event, Record};
use e2e_matrix::record::{self, RunModel};

use crate::runs::scripted::{run, workplace};
use crate::support::Scratch;
use crate::support::overlap::most_at_once;

/// How many runs there are at once, of one cell each.
const RUNS: usize = 20;
/// Far more than all of them take one after another: what hangs is killed and told.
const PATIENCE: Duration = Duration::from_secs(280);

/// The slots of a machine that has memory for all of them.
fn slots() -> usize {
    thread::available_parallelism().unwrap().get() * 8
}

/// The record of every run in `place`.
fn records(place: &Scratch) -> Vec<Vec<Record>> {
    let entries = fs::read_dir(place.path().join("target/e2e-matrix")).unwrap();
    let paths: BTreeSet<PathBuf> = entries
        .map(|entry| fs::canonicalize(entry.unwrap().path()).unwrap())
        .collect();
    let read = |path: PathBuf| record::read(&path.join(record::FILE_NAME)).unwrap();
    paths.into_iter().map(read).collect()
}

/// Where the run in `place` keeps how long cells took.
fn history(place: &Scratch) -> PathBuf {
    place.path().join("state/history.json")
}

/// The cells of the newest run in the order in which they began.
fn beginnings(place: &Scratch) -> Vec<String> {
    let path = crate::support::record::folder(place).join(record::FILE_NAME);
    let records = record::read(&path).unwrap();
    let begun = records.iter().filter_map(|record| match &record.event {
        Event::CellStarted { cell, .. } => Some(cell.to_string()),
        _ => None,
    });
    begun.collect()
}

#[test]
fn the_slowest_cells_start_first_and_reports_keep_the_order_of_the_matrix() {
    let place = workplace(&["a", "b"], "nothing");
    let before =
        "{\"version\":1,\"cells\":{\"local\":{\"k8s-1.36-n1-a\":[9],\"k8s-1.36-n1-b\":[60000]}}}";
    fs::write(history(&place), before).unwrap();
    let (told, exit) = run(&place, &["--jobs", "1"]);
    assert_eq!(exit, Some(0), "{told}");
    assert_eq!(beginnings(&place), ["k8s-1.36-n1-b", "k8s-1.36-n1-a"]);
    let model = crate::support::record::read(&place);
    let ids = model.cells.iter().map(|cell| cell.summary.id.as_str());
    assert_eq!(ids.collect::<Vec<_>>(), ["k8s-1.36-n1-a", "k8s-1.36-n1-b"]);
    let after = fs::read_to_string(history(&place)).unwrap();
    assert!(after.len() > before.len(), "both are noted: {after}");
}

#[test]
fn a_damaged_history_is_a_warning() {
    let place = workplace(&["a"], "nothing");
    fs::write(history(&place), "{\"version\":1,\"ce").unwrap();
    let (told, exit) = run(&place, &[]);
    assert_eq!(exit, Some(0), "{told}");
    assert!(told.contains("warning: how long cells took before is not known"));
    let after = fs::read_to_string(history(&place)).unwrap();
    assert!(after.contains("k8s-1.36-n1-a"), "it begins anew: {after}");
}

#[test]
fn twenty_runs_at_once_keep_one_budget() {
    // More than the machine carries at a time, whatever its size.
    let weight = slots().div_ceil(RUNS - 1);
    let nodes = 1 + (weight - 1) * 8;
    let place = workplace(&["fast"], "nothing");
    let file = place.path().join("matrix.toml");
    let text = fs::read_to_string(&file).unwrap();
    let axis = format!("[matrix]\nnodes = [{nodes}]\n");
    fs::write(&file, text.replace("[matrix]\n", &axis)).unwrap();
    thread::scope(|scope| {
        for _ in 0..RUNS {
            scope.spawn(|| {
                let mut command = place.command(&["--provider", "local"]);
                command.timeout(PATIENCE).assert().success();
            });
        }
    });
    let records = records(&place);
    assert_eq!(records.len(), RUNS);
    let models: Vec<_> = records.iter().map(RunModel::new).collect();
    let cells: Vec<_> = models.iter().flat_map(|model| &model.cells).collect();
    assert!(cells.iter().all(|cell| cell.verdict == CellVerdict::Passed));
    let clusters: BTreeSet<_> = cells.iter().map(|cell| &cell.cluster).collect();
    assert_eq!(clusters.len(), RUNS, "each has a name of its own");
    let most = most_at_once(&records, |_| 1) * weight;
    assert!(most <= slots(), "{most} of {} slots", slots());
}
