//! One cluster for several cells, one after another: each verdict is the same as on a fresh cluster, and nothing is
//! left behind.

use std::time::Duration;

use super::faults;
use crate::support::inherited::{ENGINE, inherited};
use crate::support::{Scratch, quick_matrix, record};
use e2e_matrix::event::CellVerdict;
use e2e_matrix::record::model::PhaseModel;
use e2e_matrix::record::{FILE_NAME, RunModel};

/// Far longer than the cells need.
const PATIENCE: Duration = Duration::from_secs(900);

/// The faults on prepared clusters are tested in `faults`.
#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn every_fault_fails_exactly_its_phase_on_a_reused_cluster() {
    let scratch = Scratch::new();
    let arguments = ["--filter", "n1", "--reuse", "--prepared", "never"];
    let mut command = faults::command(&scratch, &arguments);
    let output = command.envs(inherited(&ENGINE)).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("1 cluster instead of 5"), "{stderr}");
    let run = record::read(&scratch);
    record::assert_nothing_else_is_left(&scratch, &run);
    // With one node, the cells differ only in their config.
    let cells = faults::cells();
    let of_one_node = cells.iter().filter(|cell| cell.nodes.get() == 1);
    let wrong = of_one_node.flat_map(|cell| faults::deviations(cell, &run));
    assert_eq!(wrong.collect::<Vec<_>>(), [] as [String; 0]);
    let mut verdicts = run.cells.iter().map(|cell| cell.verdict);
    assert!(verdicts.all(|verdict| verdict == CellVerdict::Failed));
    let seen = run.cells.iter().flat_map(|cell| &cell.phases);
    let seen = seen.flat_map(PhaseModel::all_evidence);
    let reuses = seen.filter(|row| row.seen.starts_with("reused after "));
    assert_eq!(reuses.count(), 4);
}

/// One cluster serves all rounds, whether the number of rounds is known from the beginning or `--until-failure` may end
/// them early.
#[test]
#[ignore = "needs kind (creates 2 clusters)"]
fn every_round_reuses_the_cluster() {
    for rounds in [
        &["--repeat", "2"][..],
        &["--repeat", "2", "--until-failure"],
    ] {
        let scratch = Scratch::new();
        let matrix = scratch.path().join("matrix.toml");
        std::fs::write(&matrix, quick_matrix("1.36")).unwrap();
        let mut command = scratch.command(&["--provider", "kind", "--reuse"]);
        let output = command
            .envs(inherited(&ENGINE))
            .arg("--output-dir")
            .arg(record::folder(&scratch).with_file_name(""))
            .args(rounds)
            .timeout(PATIENCE)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(
            stderr.contains("1 cluster instead of 2"),
            "{rounds:?}: {stderr}"
        );
        record::assert_nothing_else_is_left(&scratch, &record::read(&scratch));
    }
}

/// Two runs want the same kept cluster. One gets it, and the other gets a fresh cluster.
#[test]
#[ignore = "needs kind (creates 2 clusters)"]
fn one_of_two_later_runs_reuses_a_kept_cluster() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("matrix.toml"), quick_matrix("1.36")).unwrap();
    let run = |folder: &str, more: &[&str]| {
        let mut command = scratch.command(&["--provider", "kind", "--prepared", "never"]);
        command.envs(inherited(&ENGINE)).timeout(PATIENCE);
        let folder = scratch.path().join(folder);
        let output = command.arg("--output-dir").arg(&folder).args(more);
        let output = output.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let records = e2e_matrix::record::read(&folder.join("latest").join(FILE_NAME)).unwrap();
        let run = RunModel::new(&records);
        let origin = record::origin(&run.cells[0]).to_owned();
        (run, origin)
    };
    let (_, origin) = run("first", &["--keep", "always"]);
    assert_eq!(origin, "fresh");
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| run("one", &["--reuse"]));
        let other = scope.spawn(|| run("other", &["--reuse"]));
        (one.join().unwrap(), other.join().unwrap())
    });
    let mut origins = [one.1, other.1];
    origins.sort();
    let reused = "reused after k8s-1.36-n1-default, kept by an earlier run";
    assert_eq!(origins, ["fresh", reused]);
    // Nothing is left of any of the three runs.
    record::assert_nothing_else_is_left(&scratch, &one.0);
    record::assert_nothing_else_is_left(&scratch, &other.0);
}
