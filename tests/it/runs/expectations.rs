//! What the user expects of an agent: counters that aren't checked, and phases that aren't run.

use std::fs;
use std::time::Duration;

use e2e_matrix::event::Symptom;
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::RunModel;
use e2e_matrix::record::model::PhaseOutcome;
use quick_junit::{Report, TestCaseStatus};

use crate::support::{Scratch, record};

/// Far longer than a run takes.
const PATIENCE: Duration = Duration::from_secs(180);
/// A matrix of one cell, whose loops are so short that it takes seconds.
const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
config = ["own"]
[run]
ports = "any"
[config.own]
agent = { heartbeat = { interval = "500ms" }, metrics = { collect_interval = "500ms", report_interval = "500ms" }, log_fwd = { collect_interval = "500ms", report_interval = "500ms" }, audit_fwd = { collect_interval = "500ms", report_interval = "500ms" } }
"#;

/// The exit code and the record of a run of [`MATRIX`] with `rest` behind it.
fn run(place: &Scratch, rest: &str) -> (Option<i32>, RunModel) {
    fs::write(place.path().join("matrix.toml"), format!("{MATRIX}{rest}")).unwrap();
    let command = &mut place.command(&["--provider", "local"]);
    let output = command.timeout(PATIENCE).output().unwrap();
    (output.status.code(), record::read(place))
}

#[test]
fn an_agent_passes_without_what_is_not_expected_of_it() {
    let place = Scratch::new();
    let (code, run) = run(
        &place,
        r#"
        expect = { registration_count = "any", heartbeat_count = "any", capabilities_count = "any", metrics_count = "any", audit_count = "any" }
        env = { PLEXD_FAULT = "no-heartbeat,no-capabilities,no-metrics,no-audit,forget-identity,wrong-key" }
        [phases.local-endpoint]
        run = false
        "#,
    );
    let cell = record::cell(&run, "k8s-1.36-n1-own");
    assert_eq!(code, Some(0), "{:?}", cell.reason);
    for phase in &cell.phases {
        let is_skipped = matches!(&phase.outcome, PhaseOutcome::Skipped(reason)
            if reason == "the matrix file has `run = false` under `[phases.local-endpoint]`");
        assert_eq!(
            is_skipped,
            phase.phase == Phase::LocalEndpoint,
            "{}: {:?}",
            phase.phase,
            phase.outcome
        );
        let unchecked: Vec<_> = phase
            .evidence
            .iter()
            .filter(|row| !row.is_checked())
            .collect();
        let expected = match phase.phase {
            Phase::Assertions => vec![
                "registration_count",
                "heartbeat_count",
                "capabilities_count",
                "metrics_count",
                "audit_count",
            ],
            Phase::RequestBodies => vec!["heartbeat", "capabilities"],
            Phase::Periodic => vec!["heartbeat_count", "metrics_count"],
            _ => Vec::new(),
        };
        let subjects: Vec<_> = unchecked.iter().map(|row| row.subject.as_str()).collect();
        assert_eq!(subjects, expected, "{}", phase.phase);
    }
    let folder = record::folder(&place);
    let junit = fs::read_to_string(folder.join("junit.xml")).unwrap();
    let junit = Report::deserialize_from_str(&junit).unwrap();
    for case in &junit.test_suites[0].test_cases {
        let is_skipped = matches!(case.status, TestCaseStatus::Skipped { .. });
        assert_eq!(
            is_skipped,
            case.name.as_str() == "local-endpoint",
            "{}",
            case.name.as_str()
        );
    }
    let summary = fs::read_to_string(folder.join("summary.md")).unwrap();
    assert!(summary.contains("0 (any)"), "{summary}");
}

#[test]
fn the_last_phase_that_runs_takes_the_last_look() {
    let place = Scratch::new();
    let off = ["assertions", "periodic", "restart", "local-endpoint"];
    let off = off.map(|phase| format!("[phases.{phase}]\nrun = false\n"));
    let rest = format!(
        "expect = {{ state_count = {{ exactly = 0 }} }}\n{}",
        off.concat()
    );
    let (code, run) = run(&place, &rest);
    let cell = record::cell(&run, "k8s-1.36-n1-own");
    assert_eq!(code, Some(1), "{:?}", cell.reason);
    let red = cell.red_phase().unwrap();
    assert_eq!(red.phase, Phase::RequestBodies);
    assert_eq!(red.failure().unwrap().symptom, Symptom::CounterExceeded);
}
