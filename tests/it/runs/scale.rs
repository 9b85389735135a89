//! One cell with 200 nodes: 200 agents, each of which must make every call.

use std::fs;
use std::time::Duration;

use e2e_matrix::event::CellVerdict;

use crate::support::Scratch;
use crate::support::record;

/// Far longer than the run should take; a run that hangs is killed.
const PATIENCE: Duration = Duration::from_secs(280);

/// The agents' default intervals, with deadlines for a debug build on a busy machine.
const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
nodes = [200]
[phases]
readiness = { timeout = "200s", mock-timeout = "100s" }
assertions = { timeout = "200s" }
periodic = { timeout = "200s" }
restart = { timeout = "200s" }
local-endpoint = { timeout = "200s" }
[run]
ports = "any"
"#;

#[test]
#[ignore = "needs the machine for itself (starts 200 agents)"]
fn a_cell_of_200_nodes_passes() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let mut command = scratch.command(&["--provider", "local"]);
    let output = command.timeout(PATIENCE).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let run = record::read(&scratch);
    let cell = &run.cells[0];
    assert_eq!(cell.verdict, CellVerdict::Passed);
    assert_eq!(cell.counters.as_ref().unwrap().nodes.len(), 200);
    record::assert_nothing_else_is_left(&scratch, &run);
}
