//! Which node the reports name: a fault of one node must be reported for that node, and for no other.

use std::fs;
use std::path::Path;

use e2e_matrix::record::model::CellModel;
use quick_junit::Report;

/// Asserts that the failure's evidence, message and logs are about `node` alone.
pub(crate) fn assert_failure_names(cell: &CellModel, node: &str) {
    let failure = cell
        .failed_phase()
        .and_then(|phase| phase.failure())
        .expect("a failed cell has a failure");
    let nodes = failure
        .evidence
        .iter()
        .filter_map(|row| row.node.as_deref());
    let nodes: Vec<&str> = nodes.map(|name| cell.short_node(name)).collect();
    assert_eq!(nodes, [node]);
    let sources = failure.logs.iter().map(|log| log.source.as_str());
    let agents: Vec<&str> = sources
        .filter_map(|source| source.strip_prefix("plexd on "))
        .map(|name| cell.short_node(name))
        .collect();
    assert_eq!(agents, [node]);
    assert_eq!(named(cell, &failure.message), [node]);
}

/// Asserts that the message in JUnit and the reason in the summary name `node` and no other node.
pub(crate) fn assert_reports_name(folder: &Path, cell: &CellModel, node: &str) {
    let junit = fs::read_to_string(folder.join("junit.xml")).unwrap();
    let junit = Report::deserialize_from_str(&junit).unwrap();
    let id = cell.summary.id.as_str();
    let mut suites = junit.test_suites.iter();
    let suite = suites.find(|suite| suite.name.as_str() == id).unwrap();
    let messages: Vec<&str> = suite.test_cases.iter().filter_map(message).collect();
    let [message] = messages[..] else {
        panic!("expected exactly one failure: {messages:?}");
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

/// The short names of the cell's nodes that `text` names.
fn named<'c>(cell: &'c CellModel, text: &str) -> Vec<&'c str> {
    let facts = cell
        .facts
        .as_ref()
        .expect("a cell that has started has facts");
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .collect();
    let named = facts
        .nodes
        .iter()
        .filter(|node| words.contains(&node.as_str()));
    named.map(|node| cell.short_node(node)).collect()
}
