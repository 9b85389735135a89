//! Kept clusters: which ones are kept, what is printed about them, and how to delete them.

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
timeout = "10s"
[run]
ports = "any"
keep = "failed"
"#;
const PASSING: &str = "k8s-1.36-n1-default";
const FAILING: &str = "k8s-1.36-n1-silent";

#[test]
fn a_failed_cell_is_kept_until_it_is_removed_and_a_passed_one_is_deleted() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let output = scratch.command(&["--provider", "local"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let run = record::read(&scratch);
    let (passed, failed) = (record::cell(&run, PASSING), record::cell(&run, FAILING));
    assert_eq!(passed.verdict, CellVerdict::Passed);
    assert_eq!(failed.verdict, CellVerdict::Failed);
    let cleanup = failed.phases.iter().find(|it| it.phase == Phase::Cleanup);
    let reason = "kept: --keep failed".to_owned();
    assert_eq!(cleanup.unwrap().outcome, PhaseOutcome::Skipped(reason));
    // The printed commands work, and no process is left.
    assert!(stderr.contains(&format!("kept: {FAILING}")), "{stderr}");
    assert!(!stderr.contains(&format!("kept: {PASSING}")), "{stderr}");
    let cells = scratch.path().join("state/runs").join(record::token(&run));
    assert!(cells.join(format!("cells/{FAILING}/nodes")).is_dir());
    assert!(!cells.join(format!("cells/{PASSING}")).exists());
    let listed = stderr
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ls "));
    let listed: Vec<&str> = listed.collect();
    assert_eq!(listed.len(), 2, "{stderr}");
    assert!(listed.iter().all(|path| fs::read_dir(path).is_ok()));
    let gc = scratch.command(&["gc", "--kept"]).output().unwrap();
    assert!(
        gc.status.success(),
        "{}",
        String::from_utf8_lossy(&gc.stderr)
    );
    record::assert_nothing_else_is_left(&scratch, &run);
}

#[test]
fn the_option_takes_precedence_over_the_file() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let output = scratch
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
    record::assert_nothing_else_is_left(&scratch, &record::read(&scratch));
}
