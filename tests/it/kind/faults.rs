//! Faults of the reference agent on real clusters: each fault fails exactly the phase that the agent's table of faults
//! declares, the reports name the right node, and nothing is left behind.

use std::path::Path;
use std::time::Duration;

use assert_cmd::Command as Program;

use super::kill::docker;
use crate::support::Scratch;
use crate::support::inherited::inherited;
use crate::support::record;
use crate::support::reported_node;
use e2e_matrix::machine::StateFolder;
use e2e_matrix::matrix::{Cell, Matrix, Phase};
use e2e_matrix::record::RunModel;
use plexd_agent::fault::Fault;

const MATRIX: &str = "tests/it/fixtures/faults-kind.toml";
/// Far longer than the six clusters should take. A run that hangs is killed, and its output is shown.
const PATIENCE: Duration = Duration::from_secs(900);
/// The variables by which a run finds the engine and kind, and the locks that all runs of a user share.
pub(super) const INHERITED: [&str; 5] = [
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "XDG_STATE_HOME",
];

/// Five cells need the same kind of cluster, so the run creates a template unless one exists. `reuse` tests the faults
/// on a cluster that kind created.
#[test]
#[ignore = "needs kind (creates 6 clusters and a template)"]
fn every_fault_fails_exactly_its_phase_on_prepared_clusters() {
    let scratch = Scratch::new();
    let run = run(&scratch);
    let cells = cells();
    let wrong: Vec<String> = cells
        .iter()
        .flat_map(|cell| deviations(cell, &run))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let of_one_node = run.cells.iter().filter(|cell| cell.summary.nodes == 1);
    let origins: Vec<_> = of_one_node.map(record::origin).collect();
    assert_eq!(origins.len(), 5);
    assert!(
        origins
            .iter()
            .all(|seen| seen.starts_with("prepared, from template ")),
        "{origins:?}"
    );
    let limited = record::cell(&run, "k8s-1.36-n3-silent-worker");
    reported_node::assert_failure_names(limited, "worker");
    reported_node::assert_reports_name(&record::folder(&scratch), limited, "worker");
    assert_nothing_is_left(&scratch, &run);
}

/// The cells of the matrix, each with a fault.
pub(super) fn cells() -> Vec<Cell> {
    let text = include_str!("../fixtures/faults-kind.toml");
    Matrix::parse(MATRIX, text).unwrap().cells
}

/// How the result of `cell` in `run` deviates from what its fault must cause.
pub(super) fn deviations(cell: &Cell, run: &RunModel) -> Vec<String> {
    let seen = record::cell(run, cell.id.as_str());
    record::deviations(seen, Some(failed_phase(cell)))
}

/// The command that runs the matrix with `arguments`.
pub(super) fn command(scratch: &Scratch, arguments: &[&str]) -> Program {
    let matrix = Path::new(env!("CARGO_MANIFEST_DIR")).join(MATRIX);
    let mut command = scratch.command(&[&["--provider", "kind"], arguments].concat());
    command.arg("--matrix").arg(matrix);
    command.arg("--output-dir");
    command.arg(record::folder(scratch).with_file_name(""));
    command.timeout(PATIENCE);
    command
}

/// Runs the matrix, and reads its record.
fn run(scratch: &Scratch) -> RunModel {
    let mut command = command(scratch, &[]);
    command.env_remove("E2E_MATRIX_STATE_DIR");
    command.envs(inherited(&INHERITED));
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    record::read(scratch)
}

/// The phase that must fail because of the cell's fault.
fn failed_phase(cell: &Cell) -> Phase {
    let fault = cell.variant.env["PLEXD_FAULT"].split('@').next().unwrap();
    let name = fault.parse::<Fault>().unwrap().phase();
    let mut phases = Phase::ALL.into_iter();
    phases.find(|phase| name == Some(phase.name())).unwrap()
}

/// Asserts that no container of the run's clusters and no private folder is left, and that cleanup found no volumes.
fn assert_nothing_is_left(scratch: &Scratch, run: &RunModel) {
    let token = record::token(run);
    let filter = "label=io.x-k8s.kind.cluster";
    let names = docker(&["ps", "--all", "--filter", filter, "--format", "{{.Names}}"]);
    let left: Vec<&str> = names
        .lines()
        .filter(|name| name.contains(&format!("-{token}-")))
        .collect();
    assert_eq!(left, [] as [&str; 0], "containers");
    assert!(!StateFolder::of_user().run(token).exists());
    for cell in &run.cells {
        let cleanup = cell.phases.last().expect("every cell has a cleanup phase");
        let mut rows = cleanup.all_evidence();
        let volumes = rows.find(|row| row.subject.starts_with("volumes "));
        assert!(volumes.is_some_and(|row| row.holds), "{}", cell.summary.id);
    }
    record::assert_nothing_else_is_left(scratch, run);
}
