//! Runs that go on from others: resumed after they were killed, run again where they were red, split over machines and merged.

use std::collections::BTreeSet;
use std::fs;
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

/// Far more than a whole run takes: what hangs is killed and told.
const PATIENCE: Duration = Duration::from_secs(180);

/// Two green cells and two red ones, one after another.
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

/// The run while it runs. It is gone with the test, whatever becomes of that.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where it has ended already.
        drop(self.0.kill());
    }
}

fn workplace() -> Scratch {
    let place = Scratch::new();
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    place
}

fn run(place: &Scratch, arguments: &[&str]) -> Output {
    let mut command = place.command(arguments);
    command.timeout(PATIENCE).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A run that was started in `place` and is in the middle of its second cell, whose first one has ended.
fn in_the_middle(place: &Scratch, arguments: &[&str]) -> Running {
    let mut command = place.process(&[arguments, &["--verbose"]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = Running(command.spawn().unwrap());
    let lines = BufReader::new(run.0.stderr.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.any(|line| line.contains("(1/")));
    assert!(lines.any(|line| line.contains(" ok ") && line.contains(" manifests ")));
    run
}

/// What can be compared of a cell: no times, no names.
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

/// What was looked at, without the number of a port and the path of a folder; none for a port that was taken, which is another one's.
fn subject(evidence: &Evidence) -> Option<String> {
    let word = evidence.subject.split(' ').next()?;
    if word.starts_with("MOCKAPI_") {
        return None;
    }
    let is_named = matches!(word, "port" | "folder");
    Some(if is_named { word } else { &evidence.subject }.to_owned())
}

#[test]
fn a_killed_and_resumed_run_equals_an_uninterrupted_one() {
    let whole = workplace();
    assert_eq!(run(&whole, &[]).status.code(), Some(1));
    let expected = record::read(&whole);

    let place = workplace();
    let mut killed = in_the_middle(&place, &[]);
    let alive = run(&place, &["--resume"]);
    assert_eq!(alive.status.code(), Some(2), "{alive:?}");
    assert!(stderr(&alive).contains("is still running"), "{alive:?}");
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    tear(&record::folder(&place));
    let first = record::read(&place);
    assert_eq!(first.verdict, None);

    let resumed = run(&place, &["--resume"]);
    assert_eq!(resumed.status.code(), Some(1), "{resumed:?}");
    let told = stderr(&resumed);
    assert!(
        told.contains("after 1/4 cells") && told.contains("(4/4 cells)"),
        "{told}"
    );
    let actual = record::read(&place);
    assert_eq!(actual.cells.len(), CELLS);
    for (cell, expected) in actual.cells.iter().zip(&expected.cells) {
        assert_eq!(cell.summary, expected.summary);
        assert_eq!(essence(cell), essence(expected), "{}", cell.summary.id);
    }
    assert_eq!((actual.verdict, actual.signal), (expected.verdict, None));
    one_record(&place, &first);
    reports_are_those_of_the_record(&place);
    record::assert_nothing_else_is_left(&place, &actual);
}

/// The beginning of a line that the killed run did not finish.
fn tear(folder: &Path) {
    let record = folder.join(file::FILE_NAME);
    let mut record = fs::OpenOptions::new().append(true).open(record).unwrap();
    record.write_all(b"{\"version\":1,\"sequ").unwrap();
}

/// One beginning, one end, numbers without a gap; the cell that had ended was not run again.
fn one_record(place: &Scratch, first: &RunModel) {
    let records = file::read(&record::folder(place).join(file::FILE_NAME)).unwrap();
    let numbers: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(numbers, (0..records.len() as u64).collect::<Vec<_>>());
    let count = |is: fn(&Event) -> bool| records.iter().filter(|record| is(&record.event)).count();
    assert_eq!(count(|event| matches!(event, Event::RunStarted { .. })), 1);
    assert_eq!(count(|event| matches!(event, Event::RunResumed { .. })), 1);
    assert_eq!(count(|event| matches!(event, Event::RunFinished { .. })), 1);
    let ended = &first.cells[0];
    assert!(ended.verdict.is_settled());
    assert_eq!(record::read(place).cells[0], *ended);
}

fn reports_are_those_of_the_record(place: &Scratch) {
    let folder = record::folder(place);
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::copy(
        folder.join(file::FILE_NAME),
        elsewhere.join(file::FILE_NAME),
    )
    .unwrap();
    assert_eq!(run(place, &["report", "elsewhere"]).status.code(), Some(0));
    for name in ["junit.xml", "summary.md", "report.html", "timings.json"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read(&elsewhere), read(&folder), "{name}");
    }
    let replay = run(place, &["replay"]);
    assert!(stderr(&replay).contains("after 1/4 cells"), "{replay:?}");
}

#[test]
fn repetitions_go_on_too() {
    let place = workplace();
    let mut killed = in_the_middle(&place, &["--filter", "n1 and fast", "--repeat", "3"]);
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    let resumed = run(&place, &["--resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    let told = String::from_utf8(resumed.stdout).unwrap();
    assert!(told.contains("k8s-1.36-n1-fast: 3 of 3 passed"), "{told}");
    assert_eq!(record::read(&place).cells.len(), 3);
}

#[test]
fn a_run_can_be_resumed_only_with_the_same_selection() {
    let place = workplace();
    let green = ["--filter", "fast and n1"];
    assert_eq!(run(&place, &green).status.code(), Some(0));
    let over = run(&place, &["--resume"]);
    assert_eq!(over.status.code(), Some(0), "{over:?}");
    assert!(stderr(&over).contains("every cell of"), "{over:?}");
    let folder = record::folder(&place);
    let text = fs::read_to_string(folder.join(file::FILE_NAME)).unwrap();
    let end = text.find("\"type\":\"cell-finished\"").unwrap();
    let end = text[..end].rfind('\n').unwrap() + 1;
    fs::write(folder.join(file::FILE_NAME), &text[..end]).unwrap();
    for (arguments, told) in [
        (&["--resume", "--filter", "fast"][..], "cannot be used with"),
        (&["--resume", "--shard", "1/2"], "cannot be used with"),
        (&["--resume", "--rerun-failed"], "cannot be used with"),
        (
            &["--resume", "--provider", "kind"],
            "the run uses the provider local",
        ),
    ] {
        let refused = run(&place, arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?} {refused:?}");
        assert!(stderr(&refused).contains(told), "{refused:?}");
    }
    let changed = MATRIX.replace("jobs = 1", "jobs = 2");
    fs::write(place.path().join("matrix.toml"), changed).unwrap();
    let refused = run(&place, &["--resume"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(stderr(&refused).contains("--rerun-failed"), "{refused:?}");
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    let resumed = run(&place, &["--resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert_eq!(
        record::read(&place).cells.len(),
        1,
        "the filter still holds"
    );
}

#[test]
fn failed_cells_run_again_and_count_in_the_merged_run() {
    let place = workplace();
    assert_eq!(run(&place, &["--filter", "n1"]).status.code(), Some(1));
    let first = record::read(&place).facts.unwrap().run;
    let fixed = MATRIX.replace("heartbeat-not-json", "none");
    let fixed = fixed.replace("env = { PLEXD_FAULT = \"none\" }", "");
    fs::write(place.path().join("matrix.toml"), fixed).unwrap();
    let again = run(&place, &["--rerun-failed"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let rerun = record::read(&place);
    let ids: Vec<&str> = rerun
        .cells
        .iter()
        .map(|cell| cell.summary.id.as_str())
        .collect();
    assert_eq!(ids, ["k8s-1.36-n1-garbled"]);
    let facts = rerun.facts.unwrap();
    assert_eq!(facts.rerun_of.as_deref(), Some(&*first));

    let nothing = run(&place, &["--rerun-failed"]);
    assert_eq!(nothing.status.code(), Some(0), "{nothing:?}");
    assert!(
        stderr(&nothing).contains("nothing to run again"),
        "{nothing:?}"
    );

    let merged = run(&place, &["merge", &facts.run, &first]);
    assert_eq!(merged.status.code(), Some(0), "{merged:?}");
    let both = record::read(&place);
    let verdicts: Vec<_> = both.cells.iter().map(|cell| cell.verdict).collect();
    assert_eq!(verdicts, [CellVerdict::Passed; 2]);
    assert!(
        both.notices
            .iter()
            .any(|notice| notice.text.contains("ran again"))
    );
}

#[test]
fn merged_shards_equal_one_run_of_the_whole_selection() {
    let place = workplace();
    let listed = |shard: &str| {
        let output = run(&place, &["list", "--json", "--shard", shard]);
        let cells: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        cells.as_array().unwrap().len()
    };
    assert_eq!(["1/2", "2/2"].map(listed), [2, 2]);
    let mut runs = Vec::new();
    for shard in ["1/2", "2/2"] {
        let code = run(&place, &["--shard", shard]).status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        runs.push(record::read(&place).facts.unwrap().run);
    }
    let lacking = run(&place, &["merge", &runs[0]]);
    assert!(matches!(lacking.status.code(), Some(1 | 3)), "{lacking:?}");
    let told = String::from_utf8(lacking.stdout).unwrap();
    assert!(told.contains("shards are missing: 2/2"), "{told}");

    let merge = |runs: [&str; 2]| {
        let output = run(&place, &["merge", runs[0], runs[1], "--junit", "ci.xml"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let folder = record::folder(&place);
        let files = ["events.ndjson", "junit.xml", "summary.md", "report.html"];
        files.map(|name| fs::read_to_string(folder.join(name)).unwrap())
    };
    assert_eq!(merge([&runs[0], &runs[1]]), merge([&runs[1], &runs[0]]));
    let merged = record::read(&place);
    assert_eq!(merged.cells.len(), CELLS);
    for cell in &merged.cells {
        for file in &cell.diagnostics {
            assert!(record::folder(&place).join(file).is_file(), "{file}");
        }
    }
    let empty = run(&place, &["--shard", "5/5", "--no-cells", "pass"]);
    assert_eq!(empty.status.code(), Some(0), "{empty:?}");
}

#[test]
fn a_folder_of_runs_can_be_merged() {
    let place = workplace();
    let parts: PathBuf = place.path().join("parts");
    fs::create_dir(&parts).unwrap();
    for filter in ["n1 and fast", "n2 and fast"] {
        let out = parts.to_str().unwrap();
        assert_eq!(
            run(&place, &["--filter", filter, "--output-dir", out])
                .status
                .code(),
            Some(0)
        );
    }
    let merged = run(&place, &["merge", "parts"]);
    assert_eq!(merged.status.code(), Some(0), "{merged:?}");
    let run = record::read(&place);
    assert_eq!(run.cells.len(), 2);
    let reader = RecordReader::open(&record::folder(&place).join(file::FILE_NAME)).unwrap();
    assert!(
        reader
            .map(Result::unwrap)
            .is_sorted_by_key(|record| record.at)
    );
}

/// A run in `place` of one cell that has no verdict. Returns its folder.
fn unsettled(place: &Scratch) -> PathBuf {
    let green = ["--filter", "fast and n1"];
    assert_eq!(run(place, &green).status.code(), Some(0));
    let folder = record::folder(place);
    let path = folder.join(file::FILE_NAME);
    let text = fs::read_to_string(&path).unwrap();
    let end = text.find("\"type\":\"cell-finished\"").unwrap();
    let end = text[..end].rfind('\n').unwrap() + 1;
    fs::write(path, &text[..end]).unwrap();
    folder
}

#[test]
fn a_record_cannot_name_a_folder_outside_its_run() {
    let place = workplace();
    let folder = unsettled(&place);
    let path = folder.join(file::FILE_NAME);
    let text = fs::read_to_string(&path).unwrap();
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::create_dir(folder.join("beside")).unwrap();
    for id in [elsewhere.to_str().unwrap(), "../beside"] {
        fs::write(&path, text.replace("k8s-1.36-n1-fast", id)).unwrap();
        let refused = run(&place, &["--resume"]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(stderr(&refused).contains("a cell id is"), "{refused:?}");
        assert!(elsewhere.exists() && folder.join("beside").exists());
    }
}

#[test]
fn resuming_does_not_follow_symlinks() {
    let place = workplace();
    let folder = unsettled(&place);
    let elsewhere = place.path().join("elsewhere");
    let theirs = elsewhere.join("k8s-1.36-n1-fast/theirs");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "").unwrap();
    let cells = folder.join("cells");
    fs::remove_dir_all(&cells).unwrap();
    symlink(&elsewhere, &cells).unwrap();
    let refused = run(&place, &["--resume"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(
        stderr(&refused).contains("is a symbolic link"),
        "{refused:?}"
    );
    assert!(theirs.exists());

    fs::remove_file(&cells).unwrap();
    fs::create_dir(&cells).unwrap();
    symlink(theirs.parent().unwrap(), cells.join("k8s-1.36-n1-fast")).unwrap();
    let resumed = run(&place, &["--resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert!(theirs.exists());
}
