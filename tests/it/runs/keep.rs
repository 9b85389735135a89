//! Places that stay: which do, what is told of them, and how they go.

use std::fs;

use e2e_matrix::event::CellVerdict;
use e2e_matrix::matrix::Phase;
use e2e_matrix::record::model::PhaseOutcome;

use crate::support::Scratch;
use crate::support::record;

const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
config = ["default", "silent"]
[config.silent]
env = { PLEXD_FAULT = "no-audit" }
[phases.assertions]
timeout = "2s"
[run]
ports = "any"
keep = "failed"
"#;
const GREEN: &str = "k8s-1.36-n1-default";
const RED: &str = "k8s-1.36-n1-silent";

#[test]
fn a_failed_cell_is_kept_until_it_is_removed_and_a_passed_one_is_deleted() {
    let place = Scratch::new();
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    let output = place.command(&["--provider", "local"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let run = record::read(&place);
    let (green, failed) = (record::cell(&run, GREEN), record::cell(&run, RED));
    assert_eq!(green.verdict, CellVerdict::Passed);
    assert_eq!(failed.verdict, CellVerdict::Failed);
    let cleanup = failed.phases.iter().find(|it| it.phase == Phase::Cleanup);
    let reason = "kept: --keep failed".to_owned();
    assert_eq!(cleanup.unwrap().outcome, PhaseOutcome::Skipped(reason));
    // What is told can be looked into, and nothing runs any more.
    assert!(stderr.contains(&format!("kept: {RED}")), "{stderr}");
    assert!(!stderr.contains(&format!("kept: {GREEN}")), "{stderr}");
    let cells = place.path().join("state/runs").join(record::token(&run));
    assert!(cells.join(format!("cells/{RED}/nodes")).is_dir());
    assert!(!cells.join(format!("cells/{GREEN}")).exists());
    let listed = stderr
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ls "));
    let listed: Vec<&str> = listed.collect();
    assert_eq!(listed.len(), 2, "{stderr}");
    assert!(listed.iter().all(|path| fs::read_dir(path).is_ok()));
    let gc = place.command(&["gc", "--kept"]).output().unwrap();
    assert!(
        gc.status.success(),
        "{}",
        String::from_utf8_lossy(&gc.stderr)
    );
    record::assert_nothing_else_is_left(&place, &run);
}

#[test]
fn the_option_takes_precedence_over_the_file() {
    let place = Scratch::new();
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    let output = place
        .command(&[
            "--provider",
            "local",
            "--keep",
            "never",
            "--filter",
            "silent",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    record::assert_nothing_else_is_left(&place, &record::read(&place));
}
