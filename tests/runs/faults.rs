//! Every fault of the reference agent fails exactly the phase that its own table names: cells of the real binary on the local
//! provider, read back from their record.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use e2e_matrix::matrix::Phase;
use e2e_matrix::report::RunModel;
use e2e_matrix::report::model::CellModel;
use plexd_agent::fault::Fault;
use quick_junit::Report;

use crate::record;
use crate::support::Workplace;

/// A cell that must fail a phase waits that long in it. More than `slow-start` needs, and many times what a phase takes
/// that must pass, for a machine that does other things meanwhile.
const DEADLINE: &str = "20s";
/// Far more than a whole run takes: what hangs is killed and told.
const PATIENCE: Duration = Duration::from_secs(180);
/// The phases that wait for something that a fault withholds.
const WAITING: [Phase; 5] = [
    Phase::Readiness,
    Phase::Assertions,
    Phase::Periodic,
    Phase::Restart,
    Phase::LocalEndpoint,
];
/// Loops so short that a cell takes a second, unless it has to wait in vain.
const AGENT: &str = r#"{ heartbeat = { interval = "500ms" }, metrics = { collect_interval = "500ms", report_interval = "500ms" }, log_fwd = { collect_interval = "500ms", report_interval = "500ms" }, audit_fwd = { collect_interval = "500ms", report_interval = "500ms" } }"#;

/// A matrix of `faults`, each a config variant of its own: its name, and what `PLEXD_FAULT` is in it.
fn matrix(nodes: usize, faults: &[(String, String)]) -> String {
    let names: Vec<String> = faults.iter().map(|(name, _)| format!("{name:?}")).collect();
    let mut text = format!(
        "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [{nodes}]\nconfig = [{}]\n[run]\nports = \"any\"\n",
        names.join(", ")
    );
    for phase in WAITING {
        writeln!(text, "[phases.{phase}]\ntimeout = \"{DEADLINE}\"").unwrap();
    }
    for (name, fault) in faults {
        let env = format!("env = {{ PLEXD_FAULT = \"{fault}\" }}");
        writeln!(text, "[config.{name}]\n{env}\nagent = {AGENT}").unwrap();
    }
    text
}

fn variant(fault: Fault) -> String {
    format!("fault-{fault}")
}

/// Runs `matrix` with `arguments`, all cells at once, and reads back what it recorded.
fn run(place: &Workplace, matrix: &str, cells: usize, arguments: &[&str]) -> RunModel {
    fs::write(place.path().join("matrix.toml"), matrix).unwrap();
    let jobs = cells.to_string();
    let output = place
        .command(&["--provider", "local", "--jobs", &jobs])
        .args(arguments)
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    record::read(place)
}

#[test]
fn every_fault_fails_exactly_its_phase() {
    let place = Workplace::new();
    let faults: Vec<_> = Fault::ALL
        .iter()
        .map(|fault| (variant(*fault), fault.to_string()))
        .collect();
    let run = run(&place, &matrix(1, &faults), faults.len(), &[]);
    let wrong: Vec<String> = Fault::ALL
        .iter()
        .flat_map(|fault| {
            let cell = record::cell(&run, &format!("k8s-1.36-n1-{}", variant(*fault)));
            record::deviations(cell, fault.phase().map(phase))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    record::assert_nothing_else_is_left(&place, &run);
}

/// The suite's phase of that name.
fn phase(name: &str) -> Phase {
    let mut all = Phase::ALL.into_iter();
    let found = all.find(|phase| phase.name() == name);
    found.unwrap_or_else(|| panic!("`{name}` is no phase of the suite"))
}

#[test]
fn a_fault_of_one_node_is_told_of_that_node_and_no_other() {
    let place = Workplace::new();
    let faults = [("silent".to_owned(), "no-audit@1".to_owned())];
    let run = run(
        &place,
        &matrix(3, &faults),
        1,
        &["--timeout", "assertions=8s"],
    );
    let cell = record::cell(&run, "k8s-1.36-n3-silent");
    assert_eq!(
        record::deviations(cell, Some(Phase::Assertions)),
        [] as [String; 0]
    );
    assert_blames(cell, "worker");
    assert_reports_blame(&place, cell, "worker");
}

/// The failure's evidence, its sentence and its logs are about `node` alone.
fn assert_blames(cell: &CellModel, node: &str) {
    let failure = cell
        .red_phase()
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
fn assert_reports_blame(place: &Workplace, cell: &CellModel, node: &str) {
    let folder = record::folder(place);
    let junit = fs::read_to_string(folder.join("junit.xml")).unwrap();
    let junit = Report::deserialize_from_str(&junit).unwrap();
    let cases = junit.test_suites[0].test_cases.iter();
    let messages: Vec<&str> = cases.filter_map(message).collect();
    let [message] = messages[..] else {
        panic!("one failure was expected: {messages:?}");
    };
    assert_eq!(named(cell, message), [node]);
    let summary = fs::read_to_string(folder.join("summary.md")).unwrap();
    let reasons: Vec<&str> = summary
        .lines()
        .filter(|line| line.starts_with("- **FAILED**"))
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

#[test]
fn what_failed_for_good_is_not_waited_for() {
    let place = Workplace::new();
    let faults = [("crash".to_owned(), "crash".to_owned())];
    let hour = &["--timeout", "readiness=1h"];
    // Within the patience of this test, which is far below that hour.
    let run = run(&place, &matrix(1, &faults), 1, hour);
    let cell = record::cell(&run, "k8s-1.36-n1-crash");
    assert_eq!(
        record::deviations(cell, Some(Phase::Readiness)),
        [] as [String; 0]
    );
}
