//! Commands of the matrix file on a real cluster: they reach the cluster through `KUBECONFIG`, and they reach the
//! cell's mock.

use std::fs;
use std::time::Duration;

use e2e_matrix::event::Symptom;
use e2e_matrix::record::model::PhaseOutcome;

use crate::support::inherited::{ENGINE, inherited};
use crate::support::{Scratch, quick_matrix, record, write_program};

/// Far longer than the cluster needs.
const PATIENCE: Duration = Duration::from_secs(600);
const COMMANDS: &str = r#"
[[commands]]
name = "nodes"
after = "readiness"
run = ["./check.sh", "nodes"]
[[commands]]
name = "missing"
after = "assertions"
run = ["kubectl", "get", "namespace", "no-such-namespace"]
"#;
/// The cluster has exactly the cell's nodes, the agents' DaemonSet exists, and the mock answers.
const CHECK: &str = r#"#!/bin/sh -e
test "$(kubectl get "$1" -o jsonpath='{.items[*].metadata.name}')" = "$NODE_NAMES"
kubectl -n "$NAMESPACE" get daemonset plexd
curl -fsS "$MOCK_URL/test/assertions"
"#;

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn a_command_reaches_the_cluster_of_its_cell() {
    let scratch = Scratch::new();
    let check = scratch.path().join("check.sh");
    write_program(&check, CHECK);
    let matrix = quick_matrix("1.36") + COMMANDS;
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let output = scratch
        .command(&["--provider", "kind"])
        .envs(inherited(&ENGINE))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let run = record::read(&scratch);
    let cell = record::cell(&run, "k8s-1.36-n1-default");
    let command = |name: &str| {
        cell.phases
            .iter()
            .find(|phase| phase.name() == name)
            .unwrap()
    };
    let passed = command("nodes");
    assert_eq!(passed.outcome, PhaseOutcome::Passed);
    assert!(
        passed.logs()[0]
            .lines
            .concat()
            .contains("registration_count")
    );
    let failure = command("missing").failure().unwrap();
    assert_eq!(failure.symptom, Symptom::CommandFailed);
    let log = failure.logs[0].lines.concat();
    assert!(
        log.contains("namespaces \"no-such-namespace\" not found"),
        "{log}"
    );
    record::assert_nothing_else_is_left(&scratch, &run);
}
