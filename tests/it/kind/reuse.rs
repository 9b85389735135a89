//! One cluster for several cells, one after another: every verdict is what it is on fresh clusters, and nothing is left.

use std::path::Path;
use std::time::Duration;

use crate::support::Scratch;
use crate::support::inherited::{ENGINE, inherited};
use crate::support::record;
use e2e_matrix::event::CellVerdict;
use e2e_matrix::matrix::{Matrix, Phase};
use e2e_matrix::record::RunModel;

/// The cells of one node differ only in config.
const MATRIX: &str = "tests/it/fixtures/faults-kind.toml";
const ONE_NODE: &str = "n1";
/// Far more than the cells take.
const PATIENCE: Duration = Duration::from_secs(900);

#[test]
#[ignore = "needs kind (creates 6 clusters)"]
fn verdicts_are_those_of_fresh_clusters() {
    let text = include_str!("../fixtures/faults-kind.toml");
    let cells = Matrix::parse(MATRIX, text).unwrap().cells;
    let place = Scratch::new();
    let (fresh, _) = run(&place, &[]);
    record::assert_nothing_else_is_left(&place, &fresh);
    let (reused, told) = run(&place, &["--reuse"]);
    record::assert_nothing_else_is_left(&place, &reused);
    assert!(told.contains("1 cluster instead of 5"), "{told}");
    for cell in cells.iter().filter(|cell| cell.nodes.get() == 1) {
        let id = cell.id.as_str();
        let (one, other) = (end(&fresh, id), end(&reused, id));
        assert_eq!(one, other, "{id}");
        let red = other.1;
        let deviations = record::deviations(record::cell(&reused, id), red);
        assert_eq!(deviations, [] as [String; 0]);
    }
    let seen = reused.cells.iter().flat_map(|cell| &cell.phases);
    let seen = seen.flat_map(|phase| &phase.evidence);
    let reuses = seen.filter(|row| row.seen.starts_with("reused after "));
    assert_eq!(reuses.count(), 4);
}

/// One cluster serves every round, whether the number of rounds is known from the beginning or a failure may end them.
#[test]
#[ignore = "needs kind (creates 2 clusters)"]
fn every_round_reuses_the_cluster() {
    for rounds in [
        &["--repeat", "3"][..],
        &["--repeat", "3", "--until-failure"],
    ] {
        let place = Scratch::new();
        let matrix = place.path().join("matrix.toml");
        std::fs::write(&matrix, "[matrix]\nkubernetes = [\"1.36\"]\n").unwrap();
        let mut command = place.command(&["--provider", "kind", "--reuse"]);
        let output = command
            .envs(inherited(&ENGINE))
            .arg("--output-dir")
            .arg(record::folder(&place).with_file_name(""))
            .args(rounds)
            .timeout(PATIENCE)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(
            told.contains("1 cluster instead of 3"),
            "{rounds:?}: {told}"
        );
        record::assert_nothing_else_is_left(&place, &record::read(&place));
    }
}

/// How a cell ended, and in which phase.
fn end(run: &RunModel, id: &str) -> (CellVerdict, Option<Phase>) {
    let cell = record::cell(run, id);
    (cell.verdict, cell.failed_phase().map(|phase| phase.phase))
}

fn run(place: &Scratch, more: &[&str]) -> (RunModel, String) {
    let matrix = Path::new(env!("CARGO_MANIFEST_DIR")).join(MATRIX);
    let mut command = place.command(&["--provider", "kind", "--filter", ONE_NODE]);
    command.envs(inherited(&ENGINE));
    let output = command
        .arg("--matrix")
        .arg(matrix)
        .arg("--output-dir")
        .arg(record::folder(place).with_file_name(""))
        .args(more)
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    (record::read(place), told)
}
