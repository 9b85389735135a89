//! A signal in the middle of cells: the run ends in order, with every report written and nothing left.

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

/// Three cells at once that wait for an hour for what never comes, and a fourth that never begins.
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

/// The run while it runs. It is gone with the test, whatever becomes of that.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where it has ended already.
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
        let place = Scratch::new();
        let (stderr, exit) = interrupted_by(signal, &place);
        assert_eq!(exit, Some(code), "{stderr:#?}");
        let run = record::read(&place);
        assert_eq!(run.signal, Some(by));
        cells_are_told(&run);
        reports_are_told(&place, by.name());
        told_before_the_cells_go(&stderr, by.name());
        record::assert_nothing_else_is_left(&place, &run);
    }
}

/// Sends `signal` once all cells that run are in `assertions`. Returns what was told, and the exit code.
fn interrupted_by(signal: Signal, place: &Scratch) -> (Vec<String>, Option<i32>) {
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    let mut command = place.process(&["--provider", "local", "--verbose"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = Running(command.spawn().unwrap());
    let lines = BufReader::new(run.0.stderr.take().unwrap()).lines();
    let mut told = Vec::new();
    let mut ready = 0;
    for line in lines.map(Result::unwrap) {
        if line.contains(" ok ") && line.contains(" readiness ") {
            ready += 1;
            if ready == RUNNING.len() {
                kill_process(Pid::from_child(&run.0), signal).unwrap();
            }
        }
        told.push(line);
    }
    let status = run.0.wait().unwrap();
    (told, status.code())
}

/// Cut off where they were, and cleaned up; the one that waited for its turn never began.
fn cells_are_told(run: &RunModel) {
    for id in RUNNING {
        let cell = record::cell(run, id);
        assert_eq!(cell.verdict, CellVerdict::Interrupted, "{id}");
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
    let is_skipped = |outcome: &PhaseOutcome| matches!(outcome, PhaseOutcome::Skipped(_));
    assert!(cell.phases.iter().all(|phase| is_skipped(&phase.outcome)));
}

/// Every report is there; CI servers read an error in each cell that was cut off, and none in the one that never began.
fn reports_are_told(place: &Scratch, signal: &str) {
    let [junit, summary, html] = ["junit.xml", "summary.md", "report.html"]
        .map(|name| fs::read_to_string(record::folder(place).join(name)).unwrap());
    let junit = Report::deserialize_from_str(&junit).unwrap();
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

/// Who pressed Ctrl-C sees at once that it was heard: cells may take a while to go.
fn told_before_the_cells_go(stderr: &[String], signal: &str) {
    let heard = stderr.iter().position(|line| line.contains(signal));
    let gone = stderr.iter().position(|line| line.contains(" cleanup "));
    assert!(heard < gone, "{stderr:#?}");
    assert!(heard.is_some(), "{stderr:#?}");
}
