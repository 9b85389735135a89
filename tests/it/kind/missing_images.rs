//! Cells whose node image doesn't exist anywhere.

use std::fs;

use e2e_matrix::event::{CellVerdict, Symptom};

use crate::support::inherited::{ENGINE, inherited};
use crate::support::{Scratch, record};

const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36", "1.37"]
[run]
ports = "any"
[kubernetes."1.37"]
image = "registry.invalid/node:v1.37.99"
"#;
const ID: &str = "k8s-1.37-n1-default";

/// The exit code of a run on kind with `options`.
fn run(scratch: &Scratch, options: &[&str]) -> Option<i32> {
    let arguments = [&["--provider", "kind"][..], options].concat();
    let mut command = scratch.command(&arguments);
    command.envs(inherited(&ENGINE));
    command.output().unwrap().status.code()
}

#[test]
#[ignore = "needs kind (creates no cluster)"]
fn a_missing_node_image_is_an_error_unless_its_cells_are_skipped() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let only = ["--filter", ID];
    assert_eq!(run(&scratch, &only), Some(3));
    let model = record::read(&scratch);
    let cell = record::cell(&model, ID);
    let failure = cell.failed_phase().unwrap().failure().unwrap();
    assert_eq!(failure.symptom, Symptom::NodeImageMissing);
    assert!(
        failure
            .remedy
            .as_ref()
            .unwrap()
            .contains("--skip-missing-images")
    );

    assert_eq!(
        run(&scratch, &["--filter", ID, "--skip-missing-images"]),
        Some(4)
    );
    let model = record::read(&scratch);
    let cell = record::cell(&model, ID);
    assert_eq!(cell.verdict, CellVerdict::Skipped);
    let reason = cell.reason.as_ref().unwrap();
    assert!(
        reason.starts_with("--skip-missing-images: the node image registry.invalid/node"),
        "{reason}"
    );
}

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn other_cells_run_if_those_without_a_node_image_are_skipped() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    assert_eq!(run(&scratch, &["--skip-missing-images"]), Some(0));
    let model = record::read(&scratch);
    assert_eq!(
        record::cell(&model, "k8s-1.36-n1-default").verdict,
        CellVerdict::Passed
    );
    assert_eq!(record::cell(&model, ID).verdict, CellVerdict::Skipped);
}
