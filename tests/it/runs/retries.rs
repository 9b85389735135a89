//! Cells that are retried: the real binary on the local provider, with a mock that ends at once in the attempts that must fail.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use e2e_matrix::event::CellVerdict;
use e2e_matrix::matrix::Phase;
use rustix::process::{Pid, Signal, kill_process};

use crate::runs::scripted::{run, workplace};
use crate::support::record;

const CELL: &str = "k8s-1.36-n1-fast";
/// Every first attempt: its mark ends with the cell.
const FIRST: &str = "*/k8s-1.36-n1-fast";

#[test]
fn a_cell_that_passes_on_a_retry_is_flaky_with_the_evidence_of_both_attempts() {
    let place = workplace(&["fast"], FIRST);
    for (flaky, code) in [("pass", 0), ("fail", 1)] {
        let arguments = [
            "--retries",
            "1",
            "--retry-backoff",
            "1ms",
            "--flaky-result",
            flaky,
        ];
        let (told, exit) = run(&place, &arguments);
        assert_eq!(exit, Some(code), "{told}");
        let model = record::read(&place);
        let cell = record::cell(&model, CELL);
        assert_eq!((cell.verdict, cell.attempt), (CellVerdict::Flaky, 2));
        assert!(cell.phases.iter().all(|phase| phase.failure().is_none()));
        let [first] = &cell.earlier[..] else {
            panic!("one attempt before: {:?}", cell.earlier);
        };
        assert_eq!(first.verdict, CellVerdict::Error);
        assert_eq!(
            first.failed_phase().map(|phase| phase.phase),
            Some(Phase::Readiness)
        );
        assert!(first.load.is_some() && cell.load.is_some());
        let folder = record::folder(&place);
        assert!(!first.diagnostics.is_empty());
        for file in &first.diagnostics {
            assert!(folder.join(file).is_file(), "{file}");
        }
        let second = folder.join("cells").join(CELL).join("attempt-2");
        assert!(second.join("manifests").is_dir());
        record::assert_nothing_else_is_left(&place, &model);
    }
}

#[test]
fn only_configured_failures_are_retried() {
    // Every attempt of one cell ends with its mock; the product of the other is broken.
    let place = workplace(&["fast", "silent"], "*k8s-1.36-n1-fast*");
    let short = &["--phase-timeout", "assertions=3s", "--retry-backoff", "1ms"];
    for (retries, attempts) in [(&[][..], 1), (&["--retries", "2"], 3)] {
        let (told, exit) = run(&place, &[short, retries].concat());
        assert_eq!(exit, Some(1), "{told}");
        let model = record::read(&place);
        let broken = record::cell(&model, CELL);
        assert_eq!(broken.attempt, attempts);
        assert_eq!(broken.verdict, CellVerdict::Error);
        let failed = record::cell(&model, "k8s-1.36-n1-silent");
        assert_eq!(failed.attempt, 1, "failures of the product stand");
        record::assert_nothing_else_is_left(&place, &model);
    }
}

#[test]
fn a_signal_ends_the_delay_before_a_retry() {
    let place = workplace(&["fast"], FIRST);
    let retried = [
        "--provider",
        "local",
        "--retries",
        "1",
        "--retry-backoff",
        "1m",
    ];
    let mut command = place.process(&retried);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        if line.unwrap().contains(" retry ") {
            kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let model = record::read(&place);
    let cell = record::cell(&model, CELL);
    assert_eq!(cell.verdict, CellVerdict::Interrupted);
    let reason = cell.reason.as_deref().unwrap();
    assert!(
        reason.contains("attempt 1: the mock is not available"),
        "{reason}"
    );
    assert_eq!(cell.earlier.len(), 1);
    record::assert_nothing_else_is_left(&place, &model);
}
