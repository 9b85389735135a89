//! Wrong manifests on one real cluster: each fails its phase with its symptom before the deadline, and the message holds a word of
//! the cause.

use serde_json::{Value, json};

use crate::support::by_hand::{Hand, failure};
use crate::support::manifests::Manifests;
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

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn every_wrong_manifest_fails_with_its_cause() {
    let hand = Hand::with_images();
    hand.kubectl(&["taint", "node", "--all", "tier=other:NoSchedule"]);
    let wrong: Vec<String> = rows()
        .iter()
        .filter_map(|row| {
            let seen = outcome(&hand, row);
            let fits = seen.as_ref().is_ok_and(|seen| is_as_expected(row, seen));
            (!fits).then(|| format!("{}: {seen:?}", row.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_as_expected(row: &Row, (phase, failure): &(Phase, Failure)) -> bool {
    phase.name() == row.phase
        && failure.symptom.name() == row.symptom
        && failure.message.contains(row.word)
}

/// What becomes of the shipped manifests with one value changed, and of a mock that tolerates the test's taint.
fn outcome(hand: &Hand, row: &Row) -> Result<(Phase, Failure), String> {
    let manifests = Manifests::shipped(hand.place.path());
    manifests.edit("kubernetes/daemonset.yaml", &row.pointer, &row.value);
    let tolerations = json!([{"operator": "Exists"}]);
    manifests.edit(
        "mock-api/mock-api.yaml",
        "/spec/template/spec/tolerations",
        &tolerations,
    );
    failure(hand, &manifests.settings())
}
