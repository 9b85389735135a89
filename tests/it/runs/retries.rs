//! Cells that are retried: the real binary on the local provider, with a mock that exits immediately in the attempts
//! that must fail.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use e2e_matrix::event::CellVerdict;
use e2e_matrix::matrix::Phase;
use rustix::process::{Pid, Signal, kill_process};

use crate::runs::scripted::{prepare, run};
use crate::support::record;

const CELL: &str = "k8s-1.36-n1-fast";
/// A pattern for first attempts: their mark ends with the cell's id.
const FIRST: &str = "*/k8s-1.36-n1-fast";

#[test]
fn a_cell_that_passes_on_a_retry_is_flaky_with_the_evidence_of_both_attempts() {
    let scratch = prepare(&["fast"], FIRST);
    for (flaky, code) in [("pass", 0), ("fail", 1)] {
        let arguments = [
            "--retries",
            "1",
            "--retry-backoff",
            "1ms",
            "--flaky-result",
            flaky,
        ];
        let (stderr, exit) = run(&scratch, &arguments);
        assert_eq!(exit, Some(code), "{stderr}");
        let model = record::read(&scratch);
        let cell = record::cell(&model, CELL);
        assert_eq!((cell.verdict, cell.attempt), (CellVerdict::Flaky, 2));
        assert!(cell.phases.iter().all(|phase| phase.failure().is_none()));
        let [first] = &cell.earlier[..] else {
            panic!("expected exactly one earlier attempt: {:?}", cell.earlier);
        };
        assert_eq!(first.verdict, CellVerdict::Error);
        assert_eq!(
            first.failed_phase().map(|phase| phase.phase),
            Some(Phase::Readiness)
        );
        assert!(first.load.is_some() && cell.load.is_some());
        let folder = record::folder(&scratch);
        assert!(!first.diagnostics.is_empty());
        for file in &first.diagnostics {
            assert!(folder.join(file).is_file(), "{file}");
        }
        let second = folder.join("cells").join(CELL).join("attempt-2");
        assert!(second.join("manifests").is_dir());
        record::assert_nothing_else_is_left(&scratch, &model);
    }
}

#[test]
fn only_configured_failures_are_retried() {
    // The mock of one cell exits in every attempt; the other cell has a product failure.
    let scratch = prepare(&["fast", "silent"], "*k8s-1.36-n1-fast*");
    let short = &["--phase-timeout", "assertions=3s", "--retry-backoff", "1ms"];
    for (retries, attempts) in [(&[][..], 1), (&["--retries", "2"], 3)] {
        let (stderr, exit) = run(&scratch, &[short, retries].concat());
        assert_eq!(exit, Some(1), "{stderr}");
        let model = record::read(&scratch);
        let broken = record::cell(&model, CELL);
        assert_eq!(broken.attempt, attempts);
        assert_eq!(broken.verdict, CellVerdict::Error);
        let failed = record::cell(&model, "k8s-1.36-n1-silent");
        assert_eq!(failed.attempt, 1, "product failures are not retried");
        record::assert_nothing_else_is_left(&scratch, &model);
    }
}

#[test]
fn a_signal_ends_the_delay_before_a_retry() {
    let scratch = prepare(&["fast"], FIRST);
    let retried = [
        "--provider",
        "local",
        "--retries",
        "1",
        "--retry-backoff",
        "1m",
    ];
    let mut command = scratch.process(&retried);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        if line.unwrap().contains(" retry ") {
            kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let model = record::read(&scratch);
    let cell = record::cell(&model, CELL);
    assert_eq!(cell.verdict, CellVerdict::Interrupted);
    let reason = cell.reason.as_deref().unwrap();
    assert!(
        reason.contains("attempt 1: the mock is not available"),
        "{reason}"
    );
    assert_eq!(cell.earlier.len(), 1);
    record::assert_nothing_else_is_left(&scratch, &model);
}
