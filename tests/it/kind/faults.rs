//! Faults of the reference agent on real clusters: each fails exactly the phase that its own table names, the reports blame the
//! right node, and nothing is left.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::Scratch;
use crate::support::blame;
use crate::support::inherited::inherited;
use crate::support::record;
use e2e_matrix::machine::StateFolder;
use e2e_matrix::matrix::{Cell, Matrix, Phase};
use e2e_matrix::record::RunModel;
use plexd_agent::fault::Fault;

const MATRIX: &str = "tests/it/fixtures/faults-kind.toml";
/// Far more than the six clusters take: what hangs is killed and told.
const PATIENCE: Duration = Duration::from_secs(900);
/// What finds engine and kind, and the locks that runs of one user share.
const INHERITED: [&str; 5] = [
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "XDG_STATE_HOME",
];

#[test]
#[ignore = "needs kind (creates 6 clusters)"]
fn every_fault_fails_exactly_its_phase() {
    let place = Scratch::new();
    let run = run(&place);
    let cells = Matrix::parse(MATRIX, include_str!("../fixtures/faults-kind.toml"))
        .unwrap()
        .cells;
    let wrong: Vec<String> = cells
        .iter()
        .flat_map(|cell| {
            let seen = record::cell(&run, cell.id.as_str());
            record::deviations(seen, Some(failed_phase(cell)))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let limited = record::cell(&run, "k8s-1.36-n3-silent-worker");
    blame::assert_failure_blames(limited, "worker");
    blame::assert_reports_blame(&record::folder(&place), limited, "worker");
    assert_nothing_is_left(&place, &run);
}

/// Runs the matrix, and reads back what it recorded.
fn run(place: &Scratch) -> RunModel {
    let matrix = Path::new(env!("CARGO_MANIFEST_DIR")).join(MATRIX);
    let out = record::folder(place).with_file_name("");
    let mut command = place.command(&["--provider", "kind"]);
    command.env_remove("E2E_MATRIX_STATE_DIR");
    command.envs(inherited(&INHERITED));
    let output = command
        .arg("--matrix")
        .arg(matrix)
        .arg("--output-dir")
        .arg(out)
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    record::read(place)
}

/// The phase that the cell's fault must fail.
fn failed_phase(cell: &Cell) -> Phase {
    let fault = cell.variant.env["PLEXD_FAULT"].split('@').next().unwrap();
    let name = fault.parse::<Fault>().unwrap().phase();
    let mut phases = Phase::ALL.into_iter();
    phases.find(|phase| name == Some(phase.name())).unwrap()
}

/// No container of any of the run's clusters, and no private folder; the volumes of each were looked for by its clean-up.
fn assert_nothing_is_left(place: &Scratch, run: &RunModel) {
    let token = record::token(run);
    let mut docker = Command::new("docker");
    docker.args(["ps", "--all", "--filter"]);
    docker.args(["label=io.x-k8s.kind.cluster", "--format", "{{.Names}}"]);
    let listed = docker.output().unwrap();
    assert!(listed.status.success());
    let names = String::from_utf8(listed.stdout).unwrap();
    let left: Vec<&str> = names
        .lines()
        .filter(|name| name.contains(&format!("-{token}-")))
        .collect();
    assert_eq!(left, [] as [&str; 0], "containers");
    assert!(!StateFolder::of_user().run(token).exists());
    for cell in &run.cells {
        let cleanup = cell.phases.last().expect("the last phase is clean-up");
        let mut rows = cleanup.evidence.iter();
        let volumes = rows.find(|row| row.subject.starts_with("volumes "));
        assert!(volumes.is_some_and(|row| row.holds), "{}", cell.summary.id);
    }
    record::assert_nothing_else_is_left(place, run);
}
