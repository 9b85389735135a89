//! Every fault of the reference agent fails exactly the phase that the agent's table of faults declares: cells of the
//! real binary on the local provider, read from their record.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use e2e_matrix::matrix::Phase;
use e2e_matrix::record::RunModel;
use plexd_agent::fault::Fault;

use crate::support::{QUICK_AGENT, Scratch, record, reported_node};

/// The deadline of the phases in [`WAITING`]. It is longer than `slow-start` needs, and many times longer than such a
/// phase takes if it passes, because the machine may be busy.
const DEADLINE: &str = "20s";
/// Far longer than a whole run should take; a run that hangs is killed and its output is shown.
const PATIENCE: Duration = Duration::from_secs(180);
/// The phases that wait for something that a fault prevents.
const WAITING: [Phase; 5] = [
    Phase::Readiness,
    Phase::Assertions,
    Phase::Periodic,
    Phase::Restart,
    Phase::LocalEndpoint,
];

/// A matrix with one config per fault. `faults` has the config's name and the value of `PLEXD_FAULT`.
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
        writeln!(text, "[config.{name}]\n{env}\nagent = {QUICK_AGENT}").unwrap();
    }
    text
}

fn variant(fault: Fault) -> String {
    format!("fault-{fault}")
}

/// Runs `matrix` with `arguments` and all cells at once, and reads the run's record.
fn run(scratch: &Scratch, matrix: &str, cells: usize, arguments: &[&str]) -> RunModel {
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let jobs = cells.to_string();
    let output = scratch
        .command(&["--provider", "local", "--jobs", &jobs])
        .args(arguments)
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    record::read(scratch)
}

#[test]
fn every_fault_fails_exactly_its_phase() {
    let scratch = Scratch::new();
    let faults: Vec<_> = Fault::ALL
        .iter()
        .map(|fault| (variant(*fault), fault.to_string()))
        .collect();
    let run = run(&scratch, &matrix(1, &faults), faults.len(), &[]);
    let wrong: Vec<String> = Fault::ALL
        .iter()
        .flat_map(|fault| {
            let cell = record::cell(&run, &format!("k8s-1.36-n1-{}", variant(*fault)));
            record::deviations(cell, fault.phase().map(phase))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    record::assert_nothing_else_is_left(&scratch, &run);
}

/// The phase of the suite with this name.
fn phase(name: &str) -> Phase {
    let mut all = Phase::ALL.into_iter();
    let found = all.find(|phase| phase.name() == name);
    found.unwrap_or_else(|| panic!("`{name}` is not a phase of the suite"))
}

#[test]
fn a_fault_of_one_node_is_reported_for_that_node_only() {
    let scratch = Scratch::new();
    let faults = [("silent".to_owned(), "no-audit@1".to_owned())];
    let run = run(
        &scratch,
        &matrix(3, &faults),
        1,
        &["--phase-timeout", "assertions=20s"],
    );
    let cell = record::cell(&run, "k8s-1.36-n3-silent");
    assert_eq!(
        record::deviations(cell, Some(Phase::Assertions)),
        [] as [String; 0]
    );
    reported_node::assert_failure_names(cell, "worker");
    reported_node::assert_reports_name(&record::folder(&scratch), cell, "worker");
}

/// A wrong clock must not hide that an agent has not reported its restart.
#[test]
fn a_restart_is_detected_whatever_the_clock_of_the_agent() {
    let scratch = Scratch::new();
    let silent = |clock: &str| (clock.to_owned(), format!("silent-restart,{clock}"));
    let faults = [silent("clock-ahead"), silent("clock-behind")];
    let run = run(
        &scratch,
        &matrix(1, &faults),
        2,
        &["--phase-timeout", "restart=8s"],
    );
    for (name, _) in faults {
        let cell = record::cell(&run, &format!("k8s-1.36-n1-{name}"));
        assert_eq!(
            record::deviations(cell, Some(Phase::Restart)),
            [] as [String; 0]
        );
    }
}

#[test]
fn a_permanent_failure_ends_the_phase_at_once() {
    let scratch = Scratch::new();
    let faults = [("crash".to_owned(), "crash".to_owned())];
    let hour = &["--phase-timeout", "readiness=1h"];
    // If the phase did not fail immediately, this test would time out long before the hour is over.
    let run = run(&scratch, &matrix(1, &faults), 1, hour);
    let cell = record::cell(&run, "k8s-1.36-n1-crash");
    assert_eq!(
        record::deviations(cell, Some(Phase::Readiness)),
        [] as [String; 0]
    );
}
