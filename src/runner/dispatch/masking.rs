//! Tests that the texts of events are masked. Each text field that isn't masked has a reason.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::event::{
    Evidence, Execution, Failure, NodeCounters, PhaseResult, PhaseStatus, Symptom, schema,
};
use crate::matrix::{CellId, Phase};
use crate::secret::Secret;

/// The fields that aren't masked, because runs and reports depend on their values. The runner chooses these values, or
/// the user enters them on the command line.
const STRUCTURAL: &[(&str, &str)] = &[
    ("at", "a time"),
    ("axis", "the name of an axis of the matrix"),
    ("cell", "an id, which follows from the matrix"),
    ("cells", "ids, which follow from the matrix"),
    ("cluster", "a name from the runner or the command line"),
    ("command", "the name of a command of the matrix file"),
    (
        "commands",
        "what people paste: paths and names of resources",
    ),
    ("config", "the name of a config variant"),
    ("digest", "a hash"),
    ("file", "a name that the runner chooses"),
    ("files", "names that the runner chooses"),
    (
        "filters",
        "the options of the command line, which `--resume` needs",
    ),
    ("host", "the machine's name"),
    ("id", "an id, which follows from the matrix"),
    ("kubernetes", "a version"),
    ("matrix", "the path of the matrix file"),
    ("name", "the name of the machine or of a step"),
    ("node_prefix", "a name from the runner or the command line"),
    ("platform", "the machine's"),
    ("provider", "one of a few words"),
    ("rerun_of", "an id, or a path on the command line"),
    ("rule", "one of a few words"),
    ("run", "an id"),
    ("runner", "a version"),
    ("selection_digest", "a hash"),
    ("server_version", "a version"),
    ("subject", "what the runner checked"),
    ("tags", "words of the matrix that filters select by"),
    ("token", "a part of names of resources"),
    ("tools", "names and versions"),
    ("total", "names of counters"),
    ("value", "a value of an axis of the matrix"),
];

/// The names of all text fields in `schema`, each with a type that contains it.
fn texts(schema: &Value, root: &Value, owner: &str, found: &mut BTreeMap<String, String>) {
    let alternatives = ["oneOf", "anyOf", "allOf"].map(|key| &schema[key]);
    for alternative in alternatives
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
    {
        texts(alternative, root, owner, found);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if holds_text(field, root) {
            found.insert(name.clone(), owner.to_owned());
        }
    }
}

fn holds_text(field: &Value, root: &Value) -> bool {
    if let Some(reference) = field["$ref"].as_str() {
        return holds_text(&root.pointer(&reference[1..]).unwrap().clone(), root);
    }
    let is_of = |name| {
        field["type"] == name
            || json!(field["type"])
                .as_array()
                .is_some_and(|types| types.contains(&json!(name)))
    };
    let is_closed = field.get("const").is_some() || field.get("enum").is_some();
    let alternatives = field["anyOf"].as_array().into_iter().flatten();
    let is_table = field.get("additionalProperties").is_some();
    (is_of("string") && !is_closed)
        || is_table
        || (is_of("array") && holds_text(&field["items"], root))
        || alternatives.into_iter().any(|one| holds_text(one, root))
}

#[test]
fn every_text_of_the_record_is_masked_or_has_a_reason() {
    let root = serde_json::to_value(schema()).unwrap();
    let mut found = BTreeMap::new();
    texts(&root, &root, "Record", &mut found);
    for (owner, definition) in root["$defs"].as_object().unwrap() {
        texts(definition, &root, owner, &mut found);
    }
    let structural: Vec<&str> = STRUCTURAL.iter().map(|(name, _)| *name).collect();
    for (name, owner) in &found {
        let is_free = FREE_TEXTS.contains(&name.as_str());
        let is_structural = structural.contains(&name.as_str());
        assert!(
            is_free != is_structural,
            "{owner}.{name} must be masked, or have a reason why not"
        );
    }
    let listed = FREE_TEXTS.iter().chain(&structural);
    let gone: Vec<_> = listed.filter(|name| !found.contains_key(**name)).collect();
    assert!(gone.is_empty(), "no field is called {gone:?}");
}

/// `event` with `secrets` masked.
fn hidden(secrets: &[&str], event: &Event) -> Event {
    masked(&Mask::new(secrets.iter().copied().map(Secret::new)), event)
}

#[test]
fn a_secret_is_masked_as_text_and_as_json_in_a_text() {
    let secret = "a \"quoted\"\nsecret";
    let body = json!({ "token": secret }).to_string();
    let text = format!("{secret}, {body}, {}", json!(body));
    let severity = Severity::Info;
    let event = hidden(&[secret], &Event::Notice { severity, text });
    let Event::Notice { text, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(text, r#"***, {"token":"***"}, "{\"token\":\"***\"}""#);
}

#[test]
fn fixed_words_of_the_record_are_not_masked_even_if_they_are_secrets() {
    let evidence = Evidence {
        node: Some("node passed".to_owned()),
        subject: "audit_count".to_owned(),
        expected: "true".to_owned(),
        seen: "passed".to_owned(),
        holds: true,
    };
    let failure = Failure::new(Symptom::AgentCrashed, "agent-crashed").with_evidence([evidence]);
    let result = PhaseResult {
        phase: Phase::Readiness,
        command: None,
        execution: Execution::Run,
        status: PhaseStatus::Failed { failure },
        duration_ms: 0,
        evidence: Vec::new(),
        warnings: Vec::new(),
        logs: Vec::new(),
    };
    let secrets = [
        "agent-crashed",
        "true",
        "passed",
        "phase-finished",
        "readiness",
        "failed",
        "audit_count",
    ];
    let cell = CellId::try_from("k8s-1.36-n1-default".to_owned()).unwrap();
    let event = hidden(&secrets, &Event::PhaseFinished { cell, result });
    let Event::PhaseFinished { result, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(result.phase, Phase::Readiness);
    let PhaseStatus::Failed { failure } = result.status else {
        panic!("{result:?}")
    };
    assert_eq!(failure.symptom, Symptom::AgentCrashed);
    assert_eq!(failure.message, "***");
    let row = &failure.evidence[0];
    assert_eq!(
        (&*row.subject, &*row.expected, &*row.seen),
        ("audit_count", "***", "***")
    );
    assert_eq!(row.node.as_deref(), Some("node ***"));
}

#[test]
fn an_agent_that_registers_as_a_secret_is_masked() {
    let nodes = ["node", "hunter2!"].map(|node| (node.to_owned(), BTreeMap::new()));
    let counters = NodeCounters {
        nodes: nodes.into(),
        ..NodeCounters::default()
    };
    let cell = serde_json::from_value(json!("k8s-1.36-n1-default")).unwrap();
    let event = hidden(&["hunter2!"], &Event::Counters { cell, counters });
    let Event::Counters { counters, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(
        counters.nodes.into_keys().collect::<Vec<_>>(),
        ["***", "node"]
    );
}
