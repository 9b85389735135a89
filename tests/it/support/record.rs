//! The record of a run, read by the library, and checks that the run left nothing else.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use e2e_matrix::event::FailureClass;
use e2e_matrix::machine::marked::MARK;
use e2e_matrix::matrix::Phase;
use e2e_matrix::record;
use e2e_matrix::record::RunModel;
use e2e_matrix::record::model::{CellModel, PhaseModel, PhaseOutcome};
use procfs::process::{Process, all_processes};

use crate::support::Scratch;

/// The token that agents register with.
const SECRET: &[u8] = b"e2e-test-token";

/// The folder of the newest run in `scratch`.
pub(crate) fn folder(scratch: &Scratch) -> PathBuf {
    scratch.path().join("target/e2e-matrix/latest")
}

/// The newest run in `scratch`, according to its record.
pub(crate) fn read(scratch: &Scratch) -> RunModel {
    let records = record::read(&folder(scratch).join(record::FILE_NAME)).unwrap();
    RunModel::new(&records)
}

/// Asserts that `report`, with the options `options`, creates the same reports from a copy of the newest run's record in
/// the folder `elsewhere`.
pub(crate) fn assert_reports_can_be_created_again(scratch: &Scratch, options: &[&str]) {
    let [folder, elsewhere] = [folder(scratch), scratch.path().join("elsewhere")];
    fs::create_dir(&elsewhere).unwrap();
    let record = |folder: &Path| folder.join(record::FILE_NAME);
    fs::copy(record(&folder), record(&elsewhere)).unwrap();
    scratch.exits(0, &[&["report", "elsewhere"], options].concat());
    for name in ["junit.xml", "summary.md", "report.html", "timings.json"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(name)).unwrap();
        let expected = of_copy(scratch, &read(&folder), "elsewhere");
        assert_eq!(read(&elsewhere), expected, "{name}");
    }
}

/// The text `report` of a report of the newest run, with the paths of its attachments changed to those in a copy of the
/// run's folder at `copy`.
fn of_copy(scratch: &Scratch, report: &str, copy: &str) -> String {
    let run = read(scratch).facts.unwrap().run;
    let attachment = format!("[[ATTACHMENT|target/e2e-matrix/{run}/");
    report.replace(&attachment, &format!("[[ATTACHMENT|{copy}/"))
}

/// A cell of a run.
pub(crate) fn cell<'r>(run: &'r RunModel, id: &str) -> &'r CellModel {
    let mut cells = run.cells.iter();
    let found = cells.find(|cell| cell.summary.id.as_str() == id);
    found.unwrap_or_else(|| panic!("the run has no cell {id}"))
}

/// How `cell` differs from one that failed exactly in `failed`: phases before that pass, it fails with the class
/// product, later phases are skipped, and cleanup passes. If `failed` is `None`, all phases must pass.
pub(crate) fn deviations(cell: &CellModel, failed: Option<Phase>) -> Vec<String> {
    assert_has_all_phases(cell);
    let wrong = |phase: &PhaseModel| {
        let before =
            failed.is_none_or(|failed| phase.phase < failed) || phase.phase == Phase::Cleanup;
        let as_expected = match &phase.outcome {
            PhaseOutcome::Passed => before,
            PhaseOutcome::Failed(failure) => {
                failed == Some(phase.phase) && failure.class() == FailureClass::Product
            }
            PhaseOutcome::Skipped(_) => !before && failed != Some(phase.phase),
            PhaseOutcome::Interrupted(_) => false,
        };
        let (id, name) = (&cell.summary.id, phase.phase);
        (!as_expected).then(|| format!("{id}: {name} is {:?}", phase.outcome))
    };
    cell.phases.iter().filter_map(wrong).collect()
}

/// Asserts that `cell` has each phase once, in order.
pub(crate) fn assert_has_all_phases(cell: &CellModel) {
    let phases: Vec<Phase> = cell.phases.iter().map(|phase| phase.phase).collect();
    assert_eq!(phases, Phase::ALL, "{}", cell.summary.id);
}

/// Asserts that the newest run in `scratch` left only its reports, and that they don't contain the token.
pub(crate) fn assert_nothing_else_is_left(scratch: &Scratch, run: &RunModel) {
    assert_eq!(
        below(&scratch.path().join("state/runs")),
        [] as [PathBuf; 0],
        "state of runs"
    );
    assert_eq!(
        below(&scratch.path().join("tmp")),
        [] as [PathBuf; 0],
        "temporary files"
    );
    assert_eq!(marked(token(run)), [] as [i32; 0], "processes");
    let leaking: Vec<PathBuf> = below(&folder(scratch))
        .into_iter()
        .filter(|path| path.is_file() && contains_secret(path))
        .collect();
    assert_eq!(leaking, [] as [PathBuf; 0], "files with the token");
}

/// The token in the names of all resources of the run.
pub(crate) fn token(run: &RunModel) -> &str {
    let facts = run
        .facts
        .as_ref()
        .expect("a run that has started has facts");
    let (_, token) = facts.run.rsplit_once('-').expect("a run's id has a token");
    token
}

/// The processes with the mark of the run with this token.
fn marked(token: &str) -> Vec<i32> {
    let start = format!("{token}/");
    let has_mark = |process: &Process| {
        let environment = process.environ().unwrap_or_default();
        let mark = environment.get(OsStr::new(MARK));
        mark.is_some_and(|mark| mark.to_string_lossy().starts_with(&start))
    };
    let processes = all_processes().unwrap().flatten().filter(has_mark);
    processes.map(|process| process.pid()).collect()
}

fn contains_secret(file: &Path) -> bool {
    let bytes = fs::read(file).unwrap();
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

/// All files and all empty folders below `folder`, in order.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let is_folder = fs::symlink_metadata(&path).unwrap().is_dir();
        let inside = if is_folder { below(&path) } else { Vec::new() };
        if inside.is_empty() {
            found.push(path);
        } else {
            found.extend(inside);
        }
    }
    found
}

/// How the cluster of `cell` was created.
pub(crate) fn origin(cell: &CellModel) -> &str {
    let evidence = cell.phases.iter().flat_map(PhaseModel::all_evidence);
    let mut rows = evidence.filter(|row| row.subject == "cluster");
    let row = rows.next().expect("the cluster came up");
    &row.seen
}
