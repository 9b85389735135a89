//! Mocks with a smaller test interface than ours, such as a mock from another repository: totals are enough for a cell
//! to pass, and whatever they can't show is reported as not checked.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e_matrix::event::{CellVerdict, Evidence};
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::RunModel;

use crate::support::{QUICK_AGENT, Scratch, copy, record};

/// Far longer than a run should take; a run that hangs is killed and its output is shown.
const PATIENCE: Duration = Duration::from_secs(180);
/// Faults of the agent, each with the phase that must fail.
const FAULTS: [(&str, Phase); 5] = [
    ("no-audit", Phase::Assertions),
    ("heartbeat-not-json", Phase::RequestBodies),
    ("heartbeat-once", Phase::Periodic),
    ("forget-identity", Phase::Restart),
    ("no-local-audit", Phase::LocalEndpoint),
];

/// Runs one cell with `nodes` nodes per variant (its name and fault), with a mock that offers `interface`. The run must
/// exit with `code`.
fn run(interface: &str, nodes: usize, variants: &[(&str, &str)], code: i32) -> RunModel {
    let scratch = Scratch::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/mock-api");
    copy(&shipped, &scratch.path().join("mock"));
    let file = scratch.path().join("mock/mock-api.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let last = "            - $(POD_NAMESPACE)\n";
    assert!(text.contains(last), "{text}");
    let more = format!("{last}            - --test-interface={interface}\n");
    fs::write(&file, text.replace(last, &more)).unwrap();
    let names: Vec<String> = variants
        .iter()
        .map(|(name, _)| format!("{name:?}"))
        .collect();
    let mut matrix = format!(
        "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [{nodes}]\nconfig = [{}]\n[run]\nports = \"any\"\n[deploy]\nmock = \"mock\"\n",
        names.join(", ")
    );
    for phase in ["assertions", "periodic", "restart", "local-endpoint"] {
        writeln!(matrix, "[phases.{phase}]\ntimeout = \"15s\"").unwrap();
    }
    for (name, fault) in variants {
        let env = format!("env = {{ PLEXD_FAULT = \"{fault}\" }}");
        writeln!(matrix, "[config.{name}]\n{env}\nagent = {QUICK_AGENT}").unwrap();
    }
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let output = scratch
        .command(&["--provider", "local", "--jobs", "5"])
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    record::read(&scratch)
}

#[test]
fn totals_are_enough_for_a_cell_to_pass_and_nodes_are_reported_as_not_checked() {
    let run = run("totals", 3, &[("good", "")], 0);
    let cell = record::cell(&run, "k8s-1.36-n3-good");
    let evidence: Vec<&Evidence> = cell.evidence().collect();
    let unchecked = evidence
        .iter()
        .find(|row| row.subject == "counters of each node");
    let unchecked = unchecked.expect("a row says what was not checked");
    assert!(!unchecked.is_checked(), "{unchecked:?}");
    assert_eq!(unchecked.seen, "the mock reports only totals");
    let heartbeats = evidence.iter().find(|row| row.subject == "heartbeat_count");
    assert_eq!(heartbeats.unwrap().expected, ">= 3");
    let body = evidence.iter().find(|row| row.subject == "register.token");
    assert_eq!(
        body.unwrap().seen,
        "as expected in the last body of all nodes"
    );
}

#[test]
fn every_kind_of_fault_fails_its_phase_with_totals_only() {
    let variants = FAULTS.map(|(fault, _)| (fault, fault));
    let run = run("totals", 1, &variants, 1);
    for (fault, phase) in FAULTS {
        let cell = record::cell(&run, &format!("k8s-1.36-n1-{fault}"));
        assert_eq!(cell.verdict, CellVerdict::Failed, "{fault}");
        assert_eq!(
            record::deviations(cell, Some(phase)),
            [] as [String; 0],
            "{fault}"
        );
    }
}

#[test]
fn a_mock_without_a_stream_is_polled_per_node() {
    let run = run("nodes", 2, &[("good", ""), ("silent", "no-audit@1")], 1);
    let good = record::cell(&run, "k8s-1.36-n2-good");
    assert_eq!(good.verdict, CellVerdict::Passed, "{good:?}");
    let silent = record::cell(&run, "k8s-1.36-n2-silent");
    let failure = silent
        .failed_phase()
        .and_then(|phase| phase.failure())
        .unwrap();
    let node = failure.evidence[0].node.as_deref();
    assert!(
        node.is_some_and(|node| node.ends_with("-worker")),
        "{failure:?}"
    );
}
