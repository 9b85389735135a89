//! Runs that build on others: resumed after a kill, rerun for failed cells, and merged from shards.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use e2e_matrix::event::{CellVerdict, Event, Evidence};
use e2e_matrix::record::RunModel;
use e2e_matrix::record::model::{CellModel, PhaseOutcome};
use e2e_matrix::record::{self as file, RecordReader};
use rustix::process::Signal;

use crate::kill::running::Running;
use crate::support::Scratch;
use crate::support::record;

/// Two cells that pass and two that fail, one at a time.
const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
nodes = [1, 2]
config = ["fast", "garbled"]
[config.fast]
agent = { heartbeat = { interval = "500ms" }, metrics = { report_interval = "500ms" }, audit_fwd = { report_interval = "500ms" } }
[config.garbled]
env = { PLEXD_FAULT = "heartbeat-not-json" }
[run]
jobs = 1
ports = "any"
provider = "local"
"#;
const CELLS: usize = 4;

fn prepare() -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    scratch
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Starts a run in `scratch`, and waits until its first cell has ended and its second one is running.
fn start_and_wait_for_second_cell(scratch: &Scratch, arguments: &[&str]) -> Running {
    let mut run = Running::start(scratch.process(&[arguments, &["--verbose"]].concat()));
    run.wait_for("(1/");
    run.wait_for(" manifests ");
    run
}

/// What two runs of a cell must have in common: everything except times and names.
fn essence(cell: &CellModel) -> (CellVerdict, Vec<(String, BTreeSet<String>)>) {
    let phases = cell.phases.iter().map(|phase| {
        let outcome = match &phase.outcome {
            PhaseOutcome::Passed => "passed".to_owned(),
            PhaseOutcome::Failed(failure) => failure.symptom.to_string(),
            PhaseOutcome::Skipped(reason) => reason.clone(),
            PhaseOutcome::Interrupted(_) => "interrupted".to_owned(),
        };
        (outcome, phase.all_evidence().filter_map(subject).collect())
    });
    (cell.verdict, phases.collect())
}

/// The subject of a row, without port numbers and paths. `None` for the row of a port, which is different in each run.
fn subject(evidence: &Evidence) -> Option<String> {
    let word = evidence.subject.split(' ').next()?;
    if word.starts_with("MOCKAPI_") {
        return None;
    }
    let has_name = matches!(word, "port" | "folder");
    Some(if has_name { word } else { &evidence.subject }.to_owned())
}

#[test]
fn a_killed_and_resumed_run_equals_an_uninterrupted_one() {
    let whole = prepare();
    whole.exits(1, &[]);
    let expected = record::read(&whole);

    let scratch = prepare();
    let killed = start_and_wait_for_second_cell(&scratch, &[]);
    let alive = scratch.exits(2, &["--resume"]);
    assert!(stderr(&alive).contains("is still running"), "{alive:?}");
    killed.signal(Signal::KILL);
    killed.end();
    tear(&record::folder(&scratch));
    let first = record::read(&scratch);
    assert_eq!(first.verdict, None);

    let resumed = scratch.exits(1, &["--resume"]);
    let progress = stderr(&resumed);
    assert!(
        progress.contains("after 1/4 cells") && progress.contains("(4/4 cells)"),
        "{progress}"
    );
    let actual = record::read(&scratch);
    assert_eq!((actual.cells.len(), expected.cells.len()), (CELLS, CELLS));
    for (cell, expected) in actual.cells.iter().zip(&expected.cells) {
        assert_eq!(cell.summary, expected.summary);
        assert_eq!(essence(cell), essence(expected), "{}", cell.summary.id);
    }
    assert_eq!((actual.verdict, actual.signal), (expected.verdict, None));
    assert_one_record(&scratch, &first);
    record::assert_reports_can_be_created_again(&scratch, &[]);
    let replay = scratch.exits(0, &["replay"]);
    assert!(stderr(&replay).contains("after 1/4 cells"), "{replay:?}");
    record::assert_nothing_else_is_left(&scratch, &actual);
}

/// Appends the beginning of a line, as if the killed run had not finished writing it.
fn tear(folder: &Path) {
    let record = folder.join(file::FILE_NAME);
    let mut record = fs::OpenOptions::new().append(true).open(record).unwrap();
    record.write_all(b"{\"version\":1,\"sequ").unwrap();
}

/// Asserts that the record has one beginning, one end and sequence numbers without a gap, and that the finished cell
/// did not run again.
fn assert_one_record(scratch: &Scratch, first: &RunModel) {
    let records = file::read(&record::folder(scratch).join(file::FILE_NAME)).unwrap();
    let numbers: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(numbers, (0..records.len() as u64).collect::<Vec<_>>());
    let count = |is: fn(&Event) -> bool| records.iter().filter(|record| is(&record.event)).count();
    assert_eq!(count(|event| matches!(event, Event::RunStarted { .. })), 1);
    assert_eq!(count(|event| matches!(event, Event::RunResumed { .. })), 1);
    assert_eq!(count(|event| matches!(event, Event::RunFinished { .. })), 1);
    let ended = &first.cells[0];
    assert!(ended.verdict.is_settled());
    assert_eq!(record::read(scratch).cells[0], *ended);
}

#[test]
fn runs_with_repeat_can_be_resumed() {
    let scratch = prepare();
    let killed =
        start_and_wait_for_second_cell(&scratch, &["--filter", "n1 and fast", "--repeat", "3"]);
    killed.signal(Signal::KILL);
    killed.end();
    let resumed = scratch.exits(0, &["--resume"]);
    let stdout = String::from_utf8(resumed.stdout).unwrap();
    assert!(
        stdout.contains("k8s-1.36-n1-fast: 3 of 3 passed"),
        "{stdout}"
    );
    assert_eq!(record::read(&scratch).cells.len(), 3);
}

#[test]
fn a_run_can_be_resumed_only_with_the_same_selection() {
    let scratch = prepare();
    scratch.exits(0, &["--filter", "fast and n1"]);
    let finished = scratch.exits(0, &["--resume"]);
    assert!(stderr(&finished).contains("every cell of"), "{finished:?}");
    unsettle(&scratch);
    for (arguments, message) in [
        (&["--resume", "--filter", "fast"][..], "cannot be used with"),
        (&["--resume", "--shard", "1/2"], "cannot be used with"),
        (&["--resume", "--rerun-failed"], "cannot be used with"),
        (
            &["--resume", "--provider", "kind"],
            "the run was started with the provider local",
        ),
    ] {
        let rejected = scratch.exits(2, arguments);
        assert!(stderr(&rejected).contains(message), "{rejected:?}");
    }
    let changed = MATRIX.replace("jobs = 1", "jobs = 2");
    fs::write(scratch.path().join("matrix.toml"), changed).unwrap();
    let rejected = scratch.exits(2, &["--resume"]);
    assert!(stderr(&rejected).contains("--rerun-failed"), "{rejected:?}");
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    scratch.exits(0, &["--resume"]);
    assert_eq!(
        record::read(&scratch).cells.len(),
        1,
        "the filter of the first run still applies"
    );
}

#[test]
fn failed_cells_can_be_rerun_and_merged() {
    let scratch = prepare();
    scratch.exits(1, &["--filter", "n1"]);
    let first = record::read(&scratch).facts.unwrap().run;
    // A summary that can't be written doesn't change the verdict.
    let folder = record::folder(&scratch);
    let mut unwritable = scratch.process(&["merge", "--output-dir", "merged"]);
    unwritable.arg(&folder);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let unwritable = unwritable.stdout(full).output().unwrap();
    assert_eq!(unwritable.status.code(), Some(1), "{unwritable:?}");
    let warning = "failed to write the summary";
    assert!(stderr(&unwritable).contains(warning), "{unwritable:?}");
    let renamed = MATRIX.replace("garbled", "renamed");
    fs::write(scratch.path().join("matrix.toml"), renamed).unwrap();
    let gone = scratch.exits(2, &["--rerun-failed"]);
    assert!(stderr(&gone).contains("k8s-1.36-n1-garbled"), "{gone:?}");
    let fixed = MATRIX.replace("heartbeat-not-json", "none");
    let fixed = fixed.replace("env = { PLEXD_FAULT = \"none\" }", "");
    fs::write(scratch.path().join("matrix.toml"), fixed).unwrap();
    scratch.exits(0, &["--rerun-failed"]);
    let rerun = record::read(&scratch);
    let ids: Vec<&str> = rerun
        .cells
        .iter()
        .map(|cell| cell.summary.id.as_str())
        .collect();
    assert_eq!(ids, ["k8s-1.36-n1-garbled"]);
    let facts = rerun.facts.unwrap();
    assert_eq!(facts.rerun_of.as_deref(), Some(&*first));

    let nothing = scratch.exits(0, &["--rerun-failed"]);
    assert!(stderr(&nothing).contains("nothing to rerun"), "{nothing:?}");

    scratch.exits(0, &["merge", &facts.run, &first]);
    let both = record::read(&scratch);
    let verdicts: Vec<_> = both.cells.iter().map(|cell| cell.verdict).collect();
    assert_eq!(verdicts, [CellVerdict::Passed; 2]);
    assert!(
        both.notices
            .iter()
            .any(|notice| notice.text.contains("replaces the results of"))
    );
}

#[test]
fn a_rerun_of_an_incomplete_run_does_not_pass() {
    let scratch = prepare();
    let shard = ["--filter", "fast", "--shard", "1/2"];
    scratch.exits(0, &shard);
    let part = record::read(&scratch).facts.unwrap().run;
    scratch.exits(3, &["merge", &part]);
    scratch.exits(3, &["--rerun-failed"]);
    // The process was killed before it recorded anything.
    fs::write(record::folder(&scratch).join(file::FILE_NAME), "").unwrap();
    scratch.exits(2, &["--rerun-failed"]);
}

#[test]
fn merged_shards_equal_one_run_of_the_whole_selection() {
    let scratch = prepare();
    let listed = |shard: &str| {
        let output = scratch.run(&["list", "--json", "--shard", shard]);
        let cells: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        cells.as_array().unwrap().len()
    };
    assert_eq!(["1/2", "2/2"].map(listed), [2, 2]);
    let mut runs = Vec::new();
    for shard in ["1/2", "2/2"] {
        let code = scratch.run(&["--shard", shard]).status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        runs.push(record::read(&scratch).facts.unwrap().run);
    }
    let incomplete = scratch.run(&["merge", &runs[0]]);
    assert!(
        matches!(incomplete.status.code(), Some(1 | 3)),
        "{incomplete:?}"
    );
    let stdout = String::from_utf8(incomplete.stdout).unwrap();
    assert!(stdout.contains("shards are missing: 2/2"), "{stdout}");

    let merge = |runs: [&str; 2]| {
        scratch.exits(1, &["merge", runs[0], runs[1], "--junit", "ci.xml"]);
        let folder = record::folder(&scratch);
        let files = ["events.ndjson", "junit.xml", "summary.md", "report.html"];
        files.map(|name| fs::read_to_string(folder.join(name)).unwrap())
    };
    assert_eq!(merge([&runs[0], &runs[1]]), merge([&runs[1], &runs[0]]));
    let merged = record::read(&scratch);
    assert_eq!(merged.cells.len(), CELLS);
    let files = merged.cells.iter().flat_map(|cell| &cell.diagnostics);
    let files: Vec<PathBuf> = files
        .map(|file| record::folder(&scratch).join(file))
        .collect();
    assert!(!files.is_empty());
    assert!(files.iter().all(|file| file.is_file()), "{files:?}");
    scratch.exits(0, &["--shard", "5/5", "--no-cells", "pass"]);
}

#[test]
fn a_folder_of_runs_can_be_merged() {
    let scratch = prepare();
    let parts: PathBuf = scratch.path().join("parts");
    fs::create_dir(&parts).unwrap();
    for filter in ["n1 and fast", "n2 and fast"] {
        let out = parts.to_str().unwrap();
        scratch.exits(0, &["--filter", filter, "--output-dir", out]);
    }
    scratch.exits(0, &["merge", "parts"]);
    let run = record::read(&scratch);
    assert_eq!(run.cells.len(), 2);
    let reader = RecordReader::open(&record::folder(&scratch).join(file::FILE_NAME)).unwrap();
    assert!(
        reader
            .map(Result::unwrap)
            .is_sorted_by_key(|record| record.at)
    );
}

/// Creates a run in `scratch` whose only cell has no verdict. Returns the run's folder.
fn unsettled(scratch: &Scratch) -> PathBuf {
    scratch.exits(0, &["--filter", "fast and n1"]);
    unsettle(scratch);
    record::folder(scratch)
}

/// Removes the verdict of the newest run's first cell from the record, and everything after it.
fn unsettle(scratch: &Scratch) {
    let path = record::folder(scratch).join(file::FILE_NAME);
    let text = fs::read_to_string(&path).unwrap();
    let end = text.find("\"type\":\"cell-finished\"").unwrap();
    let end = text[..end].rfind('\n').unwrap() + 1;
    fs::write(path, &text[..end]).unwrap();
}

#[test]
fn a_record_cannot_name_a_folder_outside_its_run() {
    let scratch = prepare();
    let folder = unsettled(&scratch);
    let path = folder.join(file::FILE_NAME);
    let text = fs::read_to_string(&path).unwrap();
    let elsewhere = scratch.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::create_dir(folder.join("beside")).unwrap();
    for id in [elsewhere.to_str().unwrap(), "../beside"] {
        fs::write(&path, text.replace("k8s-1.36-n1-fast", id)).unwrap();
        let rejected = scratch.exits(2, &["--resume"]);
        assert!(stderr(&rejected).contains("a cell id is"), "{rejected:?}");
        assert!(elsewhere.exists() && folder.join("beside").exists());
    }
}

#[test]
fn resuming_does_not_follow_symlinks() {
    let scratch = prepare();
    let folder = unsettled(&scratch);
    let elsewhere = scratch.path().join("elsewhere");
    let theirs = elsewhere.join("k8s-1.36-n1-fast/theirs");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "").unwrap();
    let cells = folder.join("cells");
    fs::remove_dir_all(&cells).unwrap();
    symlink(&elsewhere, &cells).unwrap();
    let rejected = scratch.exits(2, &["--resume"]);
    assert!(
        stderr(&rejected).contains("is a symbolic link"),
        "{rejected:?}"
    );
    assert!(theirs.exists());

    fs::remove_file(&cells).unwrap();
    fs::create_dir(&cells).unwrap();
    symlink(theirs.parent().unwrap(), cells.join("k8s-1.36-n1-fast")).unwrap();
    scratch.exits(0, &["--resume"]);
    assert!(theirs.exists());
}
