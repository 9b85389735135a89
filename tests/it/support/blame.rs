//! Whom the reports blame: a fault of one node must be told of that node, by name, and of no other.

use std::fs;
use std::path::Path;

use e2e_matrix::record::model::CellModel;
use quick_junit::Report;

/// The failure's evidence, its sentence and its logs are about `node` alone.
pub(crate) fn assert_failure_blames(cell: &CellModel, node: &str) {
    let failure = cell
        .failed_phase()
        .and_then(|phase| phase.failure())
        .expect("a failed cell has a failure");
    let blamed = failure
        .evidence
        .iter()
        .filter_map(|row| row.node.as_deref());
    let blamed: Vec<&str> = blamed.map(|name| cell.short_node(name)).collect();
    assert_eq!(blamed, [node]);
    let sources = failure.logs.iter().map(|log| log.source.as_str());
    let agents: Vec<&str> = sources
        .filter_map(|source| source.strip_prefix("plexd on "))
        .map(|name| cell.short_node(name))
        .collect();
    assert_eq!(agents, [node]);
    assert_eq!(named(cell, &failure.message), [node]);
}

/// What people and CI servers see first names `node` and no other: the message in JUnit, the reason in the summary.
pub(crate) fn assert_reports_blame(folder: &Path, cell: &CellModel, node: &str) {
    let junit = fs::read_to_string(folder.join("junit.xml")).unwrap();
    let junit = Report::deserialize_from_str(&junit).unwrap();
    let id = cell.summary.id.as_str();
    let mut suites = junit.test_suites.iter();
    let suite = suites.find(|suite| suite.name.as_str() == id).unwrap();
    let messages: Vec<&str> = suite.test_cases.iter().filter_map(message).collect();
    let [message] = messages[..] else {
        panic!("one failure was expected: {messages:?}");
    };
    assert_eq!(named(cell, message), [node]);
    let summary = fs::read_to_string(folder.join("summary.md")).unwrap();
    let reasons: Vec<&str> = summary
        .lines()
        .filter(|line| line.starts_with(&format!("- **FAILED** {id} ")))
        .collect();
    assert_eq!(reasons.len(), 1, "{summary}");
    assert_eq!(named(cell, reasons[0]), [node]);
}

fn message(case: &quick_junit::TestCase) -> Option<&str> {
    match &case.status {
        quick_junit::TestCaseStatus::NonSuccess { message, .. } => {
            message.as_ref().map(quick_junit::XmlString::as_str)
        }
        quick_junit::TestCaseStatus::Success { .. }
        | quick_junit::TestCaseStatus::Skipped { .. } => None,
    }
}

/// The nodes of `cell` that `text` names, in short.
fn named<'c>(cell: &'c CellModel, text: &str) -> Vec<&'c str> {
    let facts = cell.facts.as_ref().expect("the cell's nodes are known");
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .collect();
    let named = facts
        .nodes
        .iter()
        .filter(|node| words.contains(&node.as_str()));
    named.map(|node| cell.short_node(node)).collect()
}
