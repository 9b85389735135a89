//! One cell of 200 nodes: 200 agents, all of which must make every call.

use std::fs;
use std::time::Duration;

use e2e_matrix::event::CellVerdict;

use crate::support::Scratch;
use crate::support::record;

/// Far more than the run takes: what hangs is killed.
const PATIENCE: Duration = Duration::from_secs(400);

const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
nodes = [200]
config = ["fast"]
[config.fast]
expect = { heartbeat_count = 3 }
[config.fast.agent]
heartbeat = { interval = "500ms" }
metrics = { collect_interval = "500ms", report_interval = "500ms" }
log_fwd = { collect_interval = "500ms", report_interval = "500ms" }
audit_fwd = { collect_interval = "500ms", report_interval = "500ms" }
[run]
ports = "any"
"#;

#[test]
fn a_cell_of_200_nodes_passes() {
    let place = Scratch::new();
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    let mut command = place.command(&["--provider", "local"]);
    let output = command.timeout(PATIENCE).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let run = record::read(&place);
    let cell = &run.cells[0];
    assert_eq!(cell.verdict, CellVerdict::Passed);
    assert_eq!(cell.counters.as_ref().unwrap().nodes.len(), 200);
    record::assert_nothing_else_is_left(&place, &run);
}
