//! Changed labels on the pods of agent and mock, on a real cluster.

use crate::runs::labels::{PATIENCE, prepare};
use crate::support::inherited::inherited;

/// The variables by which a run finds the engine and kind, and the locks that all runs of a user share.
const INHERITED: [&str; 5] = [
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "XDG_STATE_HOME",
];

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn other_labels_pass_on_kind() {
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
