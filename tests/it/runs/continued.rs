//! Runs that build on others: resumed after a kill, rerun for failed cells, and merged from shards.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use e2e_matrix::event::{CellVerdict, Event, Evidence};
use e2e_matrix::record::RunModel;
use e2e_matrix::record::model::{CellModel, PhaseOutcome};
use e2e_matrix::record::{self as file, RecordReader};

use crate::support::Scratch;
use crate::support::record;

/// Far longer than a whole run should take; a run that hangs is killed and its output is shown.
const PATIENCE: Duration = Duration::from_secs(180);

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

/// A run that is killed at the end of the test, whether the test passes or fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        drop(self.0.kill());
    }
}

fn prepare() -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    scratch
}

fn run(scratch: &Scratch, arguments: &[&str]) -> Output {
    let mut command = scratch.command(arguments);
    command.timeout(PATIENCE).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Starts a run in `scratch`, and waits until its first cell has ended and its second one is running.
fn start_and_wait_for_second_cell(scratch: &Scratch, arguments: &[&str]) -> Running {
    let mut command = scratch.process(&[arguments, &["--verbose"]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = Running(command.spawn().unwrap());
    let lines = BufReader::new(run.0.stderr.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.any(|line| line.contains("(1/")));
    assert!(lines.any(|line| line.contains(" ok ") && line.contains(" manifests ")));
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
    assert_eq!(run(&whole, &[]).status.code(), Some(1));
    let expected = record::read(&whole);

    let scratch = prepare();
    let mut killed = start_and_wait_for_second_cell(&scratch, &[]);
    let alive = run(&scratch, &["--resume"]);
    assert_eq!(alive.status.code(), Some(2), "{alive:?}");
    assert!(stderr(&alive).contains("is still running"), "{alive:?}");
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    tear(&record::folder(&scratch));
    let first = record::read(&scratch);
    assert_eq!(first.verdict, None);

    let resumed = run(&scratch, &["--resume"]);
    assert_eq!(resumed.status.code(), Some(1), "{resumed:?}");
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
    assert_reports_match_the_record(&scratch);
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

fn assert_reports_match_the_record(scratch: &Scratch) {
    let folder = record::folder(scratch);
    let elsewhere = scratch.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::copy(
        folder.join(file::FILE_NAME),
        elsewhere.join(file::FILE_NAME),
    )
    .unwrap();
    assert_eq!(
        run(scratch, &["report", "elsewhere"]).status.code(),
        Some(0)
    );
    for name in ["junit.xml", "summary.md", "report.html", "timings.json"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(name)).unwrap();
        let expected = record::of_copy(scratch, &read(&folder), "elsewhere");
        assert_eq!(read(&elsewhere), expected, "{name}");
    }
    let replay = run(scratch, &["replay"]);
    assert!(stderr(&replay).contains("after 1/4 cells"), "{replay:?}");
}

#[test]
fn runs_with_repeat_can_be_resumed() {
    let scratch = prepare();
    let mut killed =
        start_and_wait_for_second_cell(&scratch, &["--filter", "n1 and fast", "--repeat", "3"]);
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    let resumed = run(&scratch, &["--resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
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
    let passing = ["--filter", "fast and n1"];
    assert_eq!(run(&scratch, &passing).status.code(), Some(0));
    let finished = run(&scratch, &["--resume"]);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(stderr(&finished).contains("every cell of"), "{finished:?}");
    let folder = record::folder(&scratch);
    let text = fs::read_to_string(folder.join(file::FILE_NAME)).unwrap();
    let end = text.find("\"type\":\"cell-finished\"").unwrap();
    let end = text[..end].rfind('\n').unwrap() + 1;
    fs::write(folder.join(file::FILE_NAME), &text[..end]).unwrap();
    for (arguments, message) in [
        (&["--resume", "--filter", "fast"][..], "cannot be used with"),
        (&["--resume", "--shard", "1/2"], "cannot be used with"),
        (&["--resume", "--rerun-failed"], "cannot be used with"),
        (
            &["--resume", "--provider", "kind"],
            "the run was started with the provider local",
        ),
    ] {
        let rejected = run(&scratch, arguments);
        assert_eq!(
            rejected.status.code(),
            Some(2),
            "{arguments:?} {rejected:?}"
        );
        assert!(stderr(&rejected).contains(message), "{rejected:?}");
    }
    let changed = MATRIX.replace("jobs = 1", "jobs = 2");
    fs::write(scratch.path().join("matrix.toml"), changed).unwrap();
    let rejected = run(&scratch, &["--resume"]);
    assert_eq!(rejected.status.code(), Some(2), "{rejected:?}");
    assert!(stderr(&rejected).contains("--rerun-failed"), "{rejected:?}");
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let resumed = run(&scratch, &["--resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert_eq!(
        record::read(&scratch).cells.len(),
        1,
        "the filter of the first run still applies"
    );
}

#[test]
fn failed_cells_can_be_rerun_and_merged() {
    let scratch = prepare();
    assert_eq!(run(&scratch, &["--filter", "n1"]).status.code(), Some(1));
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
    let gone = run(&scratch, &["--rerun-failed"]);
    assert_eq!(gone.status.code(), Some(2), "{gone:?}");
    assert!(stderr(&gone).contains("k8s-1.36-n1-garbled"), "{gone:?}");
    let fixed = MATRIX.replace("heartbeat-not-json", "none");
    let fixed = fixed.replace("env = { PLEXD_FAULT = \"none\" }", "");
    fs::write(scratch.path().join("matrix.toml"), fixed).unwrap();
    let again = run(&scratch, &["--rerun-failed"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let rerun = record::read(&scratch);
    let ids: Vec<&str> = rerun
        .cells
        .iter()
        .map(|cell| cell.summary.id.as_str())
        .collect();
    assert_eq!(ids, ["k8s-1.36-n1-garbled"]);
    let facts = rerun.facts.unwrap();
    assert_eq!(facts.rerun_of.as_deref(), Some(&*first));

    let nothing = run(&scratch, &["--rerun-failed"]);
    assert_eq!(nothing.status.code(), Some(0), "{nothing:?}");
    assert!(stderr(&nothing).contains("nothing to rerun"), "{nothing:?}");

    let merged = run(&scratch, &["merge", &facts.run, &first]);
    assert_eq!(merged.status.code(), Some(0), "{merged:?}");
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
    assert_eq!(run(&scratch, &shard).status.code(), Some(0));
    let part = record::read(&scratch).facts.unwrap().run;
    assert_eq!(run(&scratch, &["merge", &part]).status.code(), Some(3));
    let nothing = run(&scratch, &["--rerun-failed"]);
    assert_eq!(nothing.status.code(), Some(3), "{nothing:?}");
    // The process was killed before it recorded anything.
    fs::write(record::folder(&scratch).join(file::FILE_NAME), "").unwrap();
    let empty = run(&scratch, &["--rerun-failed"]);
    assert_eq!(empty.status.code(), Some(2), "{empty:?}");
}

#[test]
fn merged_shards_equal_one_run_of_the_whole_selection() {
    let scratch = prepare();
    let listed = |shard: &str| {
        let output = run(&scratch, &["list", "--json", "--shard", shard]);
        let cells: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        cells.as_array().unwrap().len()
    };
    assert_eq!(["1/2", "2/2"].map(listed), [2, 2]);
    let mut runs = Vec::new();
    for shard in ["1/2", "2/2"] {
        let code = run(&scratch, &["--shard", shard]).status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        runs.push(record::read(&scratch).facts.unwrap().run);
    }
    let incomplete = run(&scratch, &["merge", &runs[0]]);
    assert!(
        matches!(incomplete.status.code(), Some(1 | 3)),
        "{incomplete:?}"
    );
    let stdout = String::from_utf8(incomplete.stdout).unwrap();
    assert!(stdout.contains("shards are missing: 2/2"), "{stdout}");

    let merge = |runs: [&str; 2]| {
        let output = run(&scratch, &["merge", runs[0], runs[1], "--junit", "ci.xml"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
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
    let empty = run(&scratch, &["--shard", "5/5", "--no-cells", "pass"]);
    assert_eq!(empty.status.code(), Some(0), "{empty:?}");
}

#[test]
fn a_folder_of_runs_can_be_merged() {
    let scratch = prepare();
    let parts: PathBuf = scratch.path().join("parts");
    fs::create_dir(&parts).unwrap();
    for filter in ["n1 and fast", "n2 and fast"] {
        let out = parts.to_str().unwrap();
        assert_eq!(
            run(&scratch, &["--filter", filter, "--output-dir", out])
                .status
                .code(),
            Some(0)
        );
    }
    let merged = run(&scratch, &["merge", "parts"]);
    assert_eq!(merged.status.code(), Some(0), "{merged:?}");
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
    let passing = ["--filter", "fast and n1"];
    assert_eq!(run(scratch, &passing).status.code(), Some(0));
    let folder = record::folder(scratch);
    let path = folder.join(file::FILE_NAME);
    let text = fs::read_to_string(&path).unwrap();
    let end = text.find("\"type\":\"cell-finished\"").unwrap();
    let end = text[..end].rfind('\n').unwrap() + 1;
    fs::write(path, &text[..end]).unwrap();
    folder
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
        let rejected = run(&scratch, &["--resume"]);
        assert_eq!(rejected.status.code(), Some(2), "{rejected:?}");
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
    let rejected = run(&scratch, &["--resume"]);
    assert_eq!(rejected.status.code(), Some(2), "{rejected:?}");
    assert!(
        stderr(&rejected).contains("is a symbolic link"),
        "{rejected:?}"
    );
    assert!(theirs.exists());

    fs::remove_file(&cells).unwrap();
    fs::create_dir(&cells).unwrap();
    symlink(theirs.parent().unwrap(), cells.join("k8s-1.36-n1-fast")).unwrap();
    let resumed = run(&scratch, &["--resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert!(theirs.exists());
}
