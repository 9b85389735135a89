//! A signal in the middle of cells: the run ends in order, all reports are written, and nothing is left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use e2e_matrix::event::{CellVerdict, Termination};
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::RunModel;
use e2e_matrix::record::model::PhaseOutcome;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::Scratch;
use crate::support::record;

/// Three cells at once that wait an hour for a call that never comes, and a fourth one that never starts.
const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.30", "1.33", "1.34", "1.36"]
nodes = [2]
config = ["silent"]
[config.silent]
env = { PLEXD_FAULT = "no-audit" }
[phases.assertions]
timeout = "1h"
[run]
jobs = 3
ports = "any"
"#;
const RUNNING: [&str; 3] = [
    "k8s-1.30-n2-silent",
    "k8s-1.33-n2-silent",
    "k8s-1.34-n2-silent",
];
const WAITING: &str = "k8s-1.36-n2-silent";

/// A run that is killed at the end of the test, whether the test passes or fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        drop(self.0.kill());
    }
}

#[test]
fn the_first_signal_ends_the_run_with_cleanup() {
    for (signal, by, code) in [
        (Signal::INT, Termination::Interrupt, 130),
        (Signal::TERM, Termination::Terminate, 143),
        (Signal::HUP, Termination::Terminate, 143),
    ] {
        let scratch = Scratch::new();
        let (stderr, exit) = interrupted_by(signal, &scratch);
        assert_eq!(exit, Some(code), "{stderr:#?}");
        let run = record::read(&scratch);
        assert_eq!(run.signal, Some(by));
        assert_cells_are_recorded(&run);
        assert_reports_are_written(&scratch, by.name());
        assert_signal_is_reported_before_cleanup(&stderr, by.name());
        record::assert_nothing_else_is_left(&scratch, &run);
    }
}

/// Sends `signal` when all running cells are in `assertions`. Returns stderr and the exit code.
fn interrupted_by(signal: Signal, scratch: &Scratch) -> (Vec<String>, Option<i32>) {
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let mut command = scratch.process(&["--provider", "local", "--verbose"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = Running(command.spawn().unwrap());
    let lines = BufReader::new(run.0.stderr.take().unwrap()).lines();
    let mut stderr = Vec::new();
    let mut ready = 0;
    for line in lines.map(Result::unwrap) {
        if line.contains(" ok ") && line.contains(" readiness ") {
            ready += 1;
            if ready == RUNNING.len() {
                kill_process(Pid::from_child(&run.0), signal).unwrap();
            }
        }
        stderr.push(line);
    }
    let status = run.0.wait().unwrap();
    (stderr, status.code())
}

/// Asserts that running cells were interrupted in `assertions` and cleaned up, and that the waiting one never started.
fn assert_cells_are_recorded(run: &RunModel) {
    for id in RUNNING {
        let cell = record::cell(run, id);
        assert_eq!(cell.verdict, CellVerdict::Interrupted, "{id}");
        record::assert_has_all_phases(cell);
        for phase in &cell.phases {
            let as_expected = match &phase.outcome {
                PhaseOutcome::Passed => {
                    phase.phase < Phase::Assertions || phase.phase == Phase::Cleanup
                }
                PhaseOutcome::Interrupted(_) => phase.phase == Phase::Assertions,
                PhaseOutcome::Skipped(_) => phase.phase > Phase::Assertions,
                PhaseOutcome::Failed(_) => false,
            };
            assert!(as_expected, "{id} {}: {:?}", phase.phase, phase.outcome);
        }
    }
    let cell = record::cell(run, WAITING);
    assert_eq!(cell.verdict, CellVerdict::Skipped);
    record::assert_has_all_phases(cell);
    let is_skipped = |outcome: &PhaseOutcome| matches!(outcome, PhaseOutcome::Skipped(_));
    assert!(cell.phases.iter().all(|phase| is_skipped(&phase.outcome)));
}

/// Asserts that all reports exist. JUnit must have an error in each interrupted cell, and none in the one that never
/// started.
fn assert_reports_are_written(scratch: &Scratch, signal: &str) {
    let [junit, summary, html] = ["junit.xml", "summary.md", "report.html"]
        .map(|name| fs::read_to_string(record::folder(scratch).join(name)).unwrap());
    let junit = Report::deserialize_from_str(&junit).unwrap();
    assert_eq!(junit.test_suites.len(), RUNNING.len() + 1);
    for suite in &junit.test_suites {
        let errors = suite.test_cases.iter().filter(|case| {
            matches!(
                case.status,
                TestCaseStatus::NonSuccess {
                    kind: NonSuccessKind::Error,
                    ..
                }
            )
        });
        let errors: Vec<&str> = errors.map(|case| case.name.as_str()).collect();
        let expected: &[&str] = match suite.name.as_str() {
            WAITING => &[],
            _ => &["assertions"],
        };
        assert_eq!(errors, expected, "{}", suite.name.as_str());
    }
    let verdict = format!("interrupted by {signal}");
    assert!(summary.contains(&verdict), "{summary}");
    assert!(html.contains(&verdict));
}

/// Asserts that the output mentions the signal immediately, because cleanup may take a while.
fn assert_signal_is_reported_before_cleanup(stderr: &[String], signal: &str) {
    let reported = stderr.iter().position(|line| line.contains(signal));
    let cleanup = stderr.iter().position(|line| line.contains(" cleanup "));
    assert!(reported < cleanup, "{stderr:#?}");
    assert!(reported.is_some(), "{stderr:#?}");
}
