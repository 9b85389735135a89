//! Reports and replay from a record: they equal the reports and the output of the run itself.

use std::fs;
use std::path::Path;
use std::process::Output;

use e2e_matrix::event::{CellVerdict, schema};
use e2e_matrix::record as file;

use crate::runs::scripted;
use crate::support::Scratch;
use crate::support::record;

/// The arguments of a run with a cell that passes, one that fails, and one that is flaky.
const RUN: [&str; 8] = [
    "--provider",
    "local",
    "--phase-timeout",
    "assertions=10s",
    "--retries",
    "1",
    "--retry-backoff",
    "1ms",
];

fn prepare() -> Scratch {
    scripted::prepare(&["fast", "silent", "shaky"], "*/k8s-1.36-n1-shaky")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn reports_and_replay_equal_the_output_of_the_run() {
    let scratch = prepare();
    let live = scratch.exits(1, &[&RUN[..], &["--verbose"]].concat());
    let verdicts = record::read(&scratch)
        .cells
        .into_iter()
        .map(|cell| cell.verdict);
    let kinds = [CellVerdict::Passed, CellVerdict::Failed, CellVerdict::Flaky];
    assert_eq!(verdicts.collect::<Vec<_>>(), kinds);
    let folder = scratch.path().join("target/e2e-matrix/latest");
    assert_lines_match_the_schema(&folder);
    assert_replay_equals(&scratch, &live);

    let copies = ["--junit", "copy.xml", "--summary", "copy.md"];
    record::assert_reports_can_be_created_again(&scratch, &copies);
    let copy = read(scratch.path().join("copy.xml"));
    assert_eq!(copy, read(scratch.path().join("elsewhere/junit.xml")));
    assert!(copy.contains("[[ATTACHMENT|elsewhere/cells/"), "{copy}");
    assert_eq!(
        read(scratch.path().join("copy.md")),
        read(folder.join("summary.md"))
    );
    scratch.exits(1, &["report", "--exit-code"]);
}

/// Asserts that replay prints the same as the run on both streams, if it is as verbose as the run.
fn assert_replay_equals(scratch: &Scratch, live: &Output) {
    let replay = scratch.exits(0, &["replay", "--verbose"]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(text(&replay.stderr), text(&live.stderr));
    assert_eq!(text(&replay.stdout), text(&live.stdout));
    let brief = scratch.run(&["replay"]);
    assert!(brief.stderr.len() < replay.stderr.len());
}

fn assert_lines_match_the_schema(folder: &Path) {
    let validator = jsonschema::validator_for(schema().as_value()).unwrap();
    for line in read(folder.join(file::FILE_NAME)).lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let problems: Vec<_> = validator.iter_errors(&line).collect();
        assert!(problems.is_empty(), "{problems:?}\n{line}");
    }
}

#[test]
fn reports_can_be_created_for_a_killed_run() {
    let scratch = prepare();
    scratch.exits(0, &["--provider", "local", "--filter", "fast"]);
    let folder = scratch.path().join("target/e2e-matrix/latest");
    let whole = read(folder.join(file::FILE_NAME));
    let torn = scratch.path().join("torn.ndjson");
    let end = whole.find("\"type\":\"phase-finished\"").unwrap();
    fs::write(&torn, &whole[..end]).unwrap();
    scratch.exits(3, &["report", "torn.ndjson", "--exit-code"]);
    let summary = read(scratch.path().join("summary.md"));
    assert!(summary.contains("killed before it finished"), "{summary}");
    assert!(
        summary.contains("ends in the middle of a line"),
        "{summary}"
    );
    let replay = scratch.run(&["replay", "torn.ndjson"]);
    let tables = String::from_utf8(replay.stdout).unwrap();
    assert!(tables.contains("KILLED BEFORE IT FINISHED"), "{tables}");
}

#[test]
fn the_error_names_a_run_that_does_not_exist() {
    let scratch = prepare();
    for (arguments, message) in [
        (&["report", "nothing"][..], "there is no run `nothing`"),
        (&["replay"], "there is no latest run in"),
        (&["--resume"], "there is no latest run in"),
        (&["report", "home"], "there is no record in home"),
    ] {
        let output = scratch.exits(2, arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(message), "{stderr}");
        assert!(stderr.contains("hint:"), "{stderr}");
    }
}
