//! Wrong manifests on a real cluster with two nodes: each fails its phase with its symptom, and the message contains a
//! word of the cause.

use serde_json::{Value, json};

use crate::support::cases::Cases;
use e2e_matrix::event::Failure;
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
const CONFIG: &str = r#"
kind = { kubeadmConfigPatches = ["""
kind: JoinConfiguration
nodeRegistration:
  taints:
  - {key: disk, value: slow, effect: NoSchedule}
"""] }
"#;
const TABLES: &str = "[phases.readiness]\ntimeout = \"40s\"\nmock-timeout = \"25s\"\n";

/// The cells share one cluster, so nothing that one cell leaves there may affect the next.
#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn every_wrong_manifest_fails_with_its_cause() {
    let mut cases = Cases::new(2, CONFIG);
    let rows = rows();
    for row in &rows {
        let manifests = cases.add(row.name);
        let tolerations = json!([{"operator": "Exists"}]);
        let of_mock = "/spec/template/spec/tolerations";
        manifests.edit("mock-api/mock-api.yaml", of_mock, &tolerations);
        if row.pointer == "+" {
            manifests.add(&row.value);
        } else {
            manifests.edit("kubernetes/daemonset.yaml", &row.pointer, &row.value);
        }
    }
    cases.run(TABLES, |case, phase, failure| {
        is_as_expected(&rows[case], phase, failure)
    });
}

fn is_as_expected(row: &Row, phase: Phase, failure: &Failure) -> bool {
    phase.name() == row.phase
        && failure.symptom.name() == row.symptom
        && failure.message.contains(row.word)
}
