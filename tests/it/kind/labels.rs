//! Changed labels on the agent's and the mock's pods, on a real cluster.

use super::faults::INHERITED;
use crate::runs::labels::{PATIENCE, prepare};
use crate::support::inherited::inherited;

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn a_cell_with_other_labels_passes_on_kind() {
    let scratch = prepare();
    let mut command = scratch.command(&["--provider", "kind", "--keep", "never"]);
    let output = command
        .envs(inherited(&INHERITED))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}
