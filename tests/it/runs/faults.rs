//! Every fault of the reference agent fails exactly the phase that its own table names: cells of the real binary on the local
//! provider, read back from their record.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use e2e_matrix::matrix::Phase;
use e2e_matrix::record::RunModel;
use plexd_agent::fault::Fault;

use crate::support::{QUICK_AGENT, Scratch, blame, record};

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
        writeln!(text, "[config.{name}]\n{env}\nagent = {QUICK_AGENT}").unwrap();
    }
    text
}

fn variant(fault: Fault) -> String {
    format!("fault-{fault}")
}

/// Runs `matrix` with `arguments`, all cells at once, and reads back what it recorded.
fn run(place: &Scratch, matrix: &str, cells: usize, arguments: &[&str]) -> RunModel {
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
    let place = Scratch::new();
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
    found.unwrap_or_else(|| panic!("`{name}` is not a phase of the suite"))
}

#[test]
fn a_fault_of_one_node_is_reported_for_that_node_only() {
    let place = Scratch::new();
    let faults = [("silent".to_owned(), "no-audit@1".to_owned())];
    let run = run(
        &place,
        &matrix(3, &faults),
        1,
        &["--phase-timeout", "assertions=8s"],
    );
    let cell = record::cell(&run, "k8s-1.36-n3-silent");
    assert_eq!(
        record::deviations(cell, Some(Phase::Assertions)),
        [] as [String; 0]
    );
    blame::assert_failure_blames(cell, "worker");
    blame::assert_reports_blame(&record::folder(&place), cell, "worker");
}

/// A wrong clock must not hide that an agent did not report its new start.
#[test]
fn the_clock_of_an_agent_does_not_decide_about_its_restart() {
    let place = Scratch::new();
    let silent = |clock: &str| (clock.to_owned(), format!("silent-restart,{clock}"));
    let faults = [silent("clock-ahead"), silent("clock-behind")];
    let run = run(
        &place,
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
    let place = Scratch::new();
    let faults = [("crash".to_owned(), "crash".to_owned())];
    let hour = &["--phase-timeout", "readiness=1h"];
    // Within the patience of this test, which is far below that hour.
    let run = run(&place, &matrix(1, &faults), 1, hour);
    let cell = record::cell(&run, "k8s-1.36-n1-crash");
    assert_eq!(
        record::deviations(cell, Some(Phase::Readiness)),
        [] as [String; 0]
    );
}
