//! Expectations in the matrix file: counters that aren't checked, phases that are skipped, and checks that users add.

use std::fs;
use std::time::Duration;

use e2e_matrix::event::{Evidence, Failure, Symptom};
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::RunModel;
use e2e_matrix::record::model::PhaseOutcome;
use quick_junit::{Report, TestCaseStatus};

use crate::support::{Scratch, record, write_program};

/// Far longer than a run should take.
const PATIENCE: Duration = Duration::from_secs(180);
/// A matrix with one cell. Its intervals are so short that the cell takes only seconds.
pub(super) const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
config = ["own"]
[run]
ports = "any"
[config.own]
agent = { heartbeat = { interval = "500ms" }, metrics = { collect_interval = "500ms", report_interval = "500ms" }, log_fwd = { collect_interval = "500ms", report_interval = "500ms" }, audit_fwd = { collect_interval = "500ms", report_interval = "500ms" } }
"#;

/// Conditions that the reference agent meets, for several endpoints with a body.
const CHECKS: &str = r#"
[[checks]]
endpoint = "register"
pointer = "/hostname"
matches = "^plexd-e2e-"
[[checks]]
endpoint = "heartbeat"
pointer = "/timestamp"
type = "string"
[[checks]]
endpoint = "local_audit"
pointer = ""
present = true
"#;

/// Runs [`MATRIX`] followed by `rest`. Returns the exit code and the run.
pub(super) fn run(scratch: &Scratch, rest: &str) -> (Option<i32>, RunModel) {
    run_on(scratch, 1, rest)
}

fn run_on(scratch: &Scratch, nodes: u32, rest: &str) -> (Option<i32>, RunModel) {
    let matrix = MATRIX.replace("config = [", &format!("nodes = [{nodes}]\nconfig = ["));
    fs::write(scratch.path().join("matrix.toml"), matrix + rest).unwrap();
    let command = &mut scratch.command(&["--provider", "local"]);
    command.env("KUBECONFIG", "of-another-cluster");
    let output = command.timeout(PATIENCE).output().unwrap();
    (output.status.code(), record::read(scratch))
}

#[test]
fn an_agent_passes_without_calls_that_are_not_expected() {
    let scratch = Scratch::new();
    let (code, run) = run(
        &scratch,
        r#"
        expect = { registration_count = "any", heartbeat_count = "any", capabilities_count = "any", metrics_count = "any", audit_count = "any" }
        env = { PLEXD_FAULT = "no-heartbeat,no-capabilities,no-metrics,no-audit,forget-identity,wrong-key" }
        [phases.local-endpoint]
        run = false
        "#,
    );
    let cell = record::cell(&run, "k8s-1.36-n1-own");
    assert_eq!(code, Some(0), "{:?}", cell.reason);
    record::assert_has_all_phases(cell);
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
            .all_evidence()
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
    let folder = record::folder(&scratch);
    let junit = fs::read_to_string(folder.join("junit.xml")).unwrap();
    let junit = Report::deserialize_from_str(&junit).unwrap();
    assert_eq!(junit.test_suites[0].test_cases.len(), Phase::ALL.len());
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
fn the_final_check_of_counters_is_in_the_last_phase_that_runs() {
    let scratch = Scratch::new();
    let off = ["assertions", "periodic", "restart", "local-endpoint"];
    let off = off.map(|phase| format!("[phases.{phase}]\nrun = false\n"));
    let rest = format!(
        "expect = {{ state_count = {{ exactly = 0 }} }}\n{}",
        off.concat()
    );
    let (code, run) = run(&scratch, &rest);
    let cell = record::cell(&run, "k8s-1.36-n1-own");
    assert_eq!(code, Some(1), "{:?}", cell.reason);
    let failed = cell.failed_phase().unwrap();
    assert_eq!(failed.phase, Phase::RequestBodies);
    assert_eq!(failed.failure().unwrap().symptom, Symptom::CounterExceeded);
}

#[test]
fn a_check_of_the_user_fails_only_for_the_node_that_violates_it() {
    let scratch = Scratch::new();
    let rest = format!(
        "env = {{ PLEXD_FAULT = \"empty-actions@1\" }}\n{CHECKS}\
         [[checks]]\nname = \"first action\"\nendpoint = \"capabilities\"\npointer = \"/builtin_actions/0\"\npresent = true\n"
    );
    let (code, run) = run_on(&scratch, 3, &rest);
    let cell = record::cell(&run, "k8s-1.36-n3-own");
    assert_eq!(code, Some(1), "{:?}", cell.reason);
    assert_eq!(
        record::deviations(cell, Some(Phase::RequestBodies)),
        [] as [String; 0]
    );
    let failure = cell.failed_phase().unwrap().failure().unwrap();
    assert_eq!(failure.symptom, Symptom::BadBody);
    let rows = failure.evidence.iter().map(|row| {
        let node = cell.short_node(row.node.as_deref().unwrap());
        format!(
            "{node}: {} should be {}, is {}",
            row.subject, row.expected, row.seen
        )
    });
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            "worker: capabilities.builtin_actions should be a non-empty array, is an empty array",
            "worker: first action should be present, is missing",
        ]
    );
}

#[test]
fn checks_of_the_user_that_hold_are_reported_for_all_nodes() {
    let scratch = Scratch::new();
    let (code, run) = run_on(&scratch, 2, CHECKS);
    let cell = record::cell(&run, "k8s-1.36-n2-own");
    assert_eq!(code, Some(0), "{:?}", cell.reason);
    let mut phases = cell.phases.iter();
    let phase = phases
        .find(|phase| phase.phase == Phase::RequestBodies)
        .unwrap();
    for name in ["register/hostname", "heartbeat/timestamp", "local_audit"] {
        let mut rows = phase.all_evidence();
        let row = rows.find(|row| row.subject == name).unwrap();
        assert_eq!(row.seen, "as expected on 2 of 2 nodes");
    }
}

fn failure_of(run: &RunModel) -> &Failure {
    let cell = record::cell(run, "k8s-1.36-n1-own");
    let phase = cell
        .failed_phase()
        .expect("a failed cell has a failed phase");
    phase.failure().expect("a failed phase has a failure")
}

/// The mock counts more calls than the suite checks by default.
#[test]
fn any_counter_of_the_mock_can_be_expected_and_has_a_column() {
    let scratch = Scratch::new();
    let (code, run) = run_on(
        &scratch,
        2,
        "expect = { secrets_count = 1, tunnel_ready_count = { exactly = 0 }, metadata_count = \"any\" }\n",
    );
    let cell = record::cell(&run, "k8s-1.36-n2-own");
    assert_eq!(code, Some(0), "{:?}", cell.reason);
    let row = |subject: &str| {
        let mut rows = cell.evidence();
        let row = rows.find(|row| row.subject == subject).expect(subject);
        row.expected.clone()
    };
    let expected = ["secrets_count", "tunnel_ready_count", "metadata_count"].map(row);
    assert_eq!(expected, [">= 2", "= 0", Evidence::NOT_CHECKED]);
    let counters = cell.counters.as_ref().unwrap();
    assert!(
        counters.total_of("secrets_count") >= Some(1),
        "{counters:?}"
    );
    assert_eq!(counters.total_of("tunnel_ready_count"), Some(0));
    for table in counters.nodes.values() {
        assert!(table["secrets_count"] >= 1, "{table:?}");
        assert_eq!(table["tunnel_ready_count"], 0, "{table:?}");
    }
    for report in ["summary.md", "report.html"] {
        let text = fs::read_to_string(record::folder(&scratch).join(report)).unwrap();
        // Markdown escapes the underscore.
        let text = text.replace('\\', "");
        for column in ["secrets", "tunnel_ready", "metadata"] {
            assert!(text.contains(column), "{report}: {column}");
        }
        assert!(!text.contains("key_rotate"), "{report}");
    }
}

#[test]
fn a_counter_of_the_mock_that_is_not_met_fails_the_cell() {
    let scratch = Scratch::new();
    let (code, run) = run(
        &scratch,
        "expect = { execution_ack_count = 1 }\n[phases.assertions]\ntimeout = \"5s\"\n",
    );
    assert_eq!(code, Some(1));
    let failure = failure_of(&run);
    assert_eq!(failure.symptom, Symptom::CounterNotMet, "{failure}");
    assert!(failure.message.contains("execution_ack_count"), "{failure}");
}

/// The counters of another mock are known only when it runs.
#[test]
fn a_counter_that_the_mock_does_not_report_is_a_configuration_failure_that_lists_the_reported_ones()
{
    let scratch = Scratch::new();
    let program = env!("CARGO_BIN_EXE_e2e-matrix");
    write_program(
        &scratch.path().join("mock.sh"),
        &format!("#!/bin/sh\nexec '{program}' mockapi \"$@\"\n"),
    );
    let (code, run) = run(
        &scratch,
        "expect = { peers_count = 1 }\n[images.mock]\nimage = \"mock.example/own:1\"\nbinary = \"mock.sh\"\n",
    );
    assert_eq!(code, Some(2));
    let failure = failure_of(&run);
    assert_eq!(failure.symptom, Symptom::CounterUnreported, "{failure}");
    for word in ["`peers_count`", "`heartbeat_count`", "`inject_event_count`"] {
        assert!(failure.message.contains(word), "{failure}");
    }
}
