//! Wrong manifests on a real cluster with two nodes: each fails its phase with its symptom, and the message contains a
//! word of the cause.

use serde_json::{Value, json};

use crate::support::QUICK_AGENT;
use crate::support::by_hand::{Failed, Hand, failure};
use crate::support::in_turn::InTurn;
use e2e_matrix::event::{FailureClass, Symptom};
use e2e_matrix::matrix::Phase;

struct Row {
    name: &'static str,
    pointer: String,
    value: Value,
    phase: &'static str,
    symptom: &'static str,
    word: &'static str,
}

fn rows() -> Vec<Row> {
    let lines = include_str!("wrong_manifests.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(row)
        .collect()
}

fn row(line: &'static str) -> Row {
    let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [name, pointer, value, phase, symptom, word] = columns.try_into().unwrap();
    let pod = "/spec/template/spec";
    Row {
        name,
        pointer: pointer
            .replace("POD", pod)
            .replace("PLEXD", &format!("{pod}/containers/0")),
        value: serde_json::from_str(value).unwrap(),
        phase,
        symptom,
        word,
    }
}

#[test]
fn the_table_is_long_enough() {
    assert!(rows().len() >= 25);
}

/// The worker has an additional taint.
const TABLES: &str = r#"
kind = { kubeadmConfigPatches = ["""
kind: JoinConfiguration
nodeRegistration:
  taints:
  - {key: disk, value: slow, effect: NoSchedule}
"""] }
[phases.readiness]
timeout = "50s"
mock-timeout = "25s"
"#;

/// Nothing that one cell leaves in the cluster affects the next.
#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn every_wrong_manifest_fails_with_its_cause() {
    let tables = format!("[config.default]\nagent = {QUICK_AGENT}\n{TABLES}");
    let mut cells = InTurn::new(2, &tables);
    let rows = rows();
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| deviation(&mut cells, row))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    cells.end();
}

/// How the outcome deviates from `row`.
fn deviation(cells: &mut InTurn, row: &Row) -> Option<String> {
    let seen = outcome(cells, row);
    let fits = seen.as_ref().is_ok_and(|seen| is_as_expected(row, seen));
    (!fits).then(|| format!("{}: {seen:?}", row.name))
}

fn is_as_expected(row: &Row, failed: &Failed) -> bool {
    failed.phase.name() == row.phase
        && failed.failure.symptom.name() == row.symptom
        && failed.failure.message.contains(row.word)
        && failed.code == Some(exit_code(failed.failure.class()))
}

/// The exit code of a class, as in docs/exit-codes.md.
fn exit_code(class: FailureClass) -> i32 {
    match class {
        FailureClass::Product => 1,
        FailureClass::Configuration => 2,
        FailureClass::Infrastructure => 3,
    }
}

/// Runs the shipped manifests with one changed value, and with a mock that tolerates the taints of the nodes.
fn outcome(cells: &mut InTurn, row: &Row) -> Result<Failed, String> {
    let manifests = cells.manifests();
    let tolerations = json!([{"operator": "Exists"}]);
    let of_mock = "/spec/template/spec/tolerations";
    manifests.edit("mock-api/mock-api.yaml", of_mock, &tolerations);
    if row.pointer == "+" {
        manifests.add(&row.value);
    } else if let Some(pointer) = row.pointer.strip_prefix("MOCK") {
        manifests.edit("mock-api/mock-api.yaml", pointer, &row.value);
    } else {
        manifests.edit("kubernetes/daemonset.yaml", &row.pointer, &row.value);
    }
    cells.failure(&manifests)
}

/// Permissions for everything except watching pods.
const PERMISSIONS: &str = r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "blind"}, "rules": [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "create", "update", "patch", "delete", "escalate", "bind"]},
    {"apiGroups": ["*"], "resources": ["nodes", "events", "daemonsets", "deployments", "namespaces", "customresourcedefinitions"], "verbs": ["watch"]},
    {"nonResourceURLs": ["*"], "verbs": ["get"]}]}"#;

/// The reported cause is that the user may not watch pods, not that the API server does not respond.
#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn a_rejected_watch_is_the_cause() {
    let hand = Hand::with_images();
    let command = format!(
        "echo '{PERMISSIONS}' | kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f -"
    );
    hand.node(&["sh", "-c", &command]);
    hand.kubectl(&["create", "serviceaccount", "blind"]);
    let bind = [
        "create",
        "clusterrolebinding",
        "blind",
        "--clusterrole=blind",
        "--serviceaccount=default:blind",
    ];
    hand.kubectl(&bind);
    hand.become_account("blind");
    let failed = failure(&hand, "").unwrap();
    assert_eq!(failed.phase, Phase::Readiness, "{failed:?}");
    assert_eq!(
        failed.failure.symptom,
        Symptom::BadConfiguration,
        "{failed:?}"
    );
    let cause = "pods: pods is forbidden";
    assert!(failed.failure.message.contains(cause), "{failed:?}");
}
