//! Manifests whose pods carry other labels than the shipped ones, selectors included: the suite passes all the same.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Scratch, copy};

/// Far more than one cell takes: a run that hangs is killed and fails the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(280);
const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.34"]
config = ["fast"]
[config.fast]
agent = { heartbeat = { interval = "500ms" }, metrics = { collect_interval = "500ms", report_interval = "500ms" }, audit_fwd = { collect_interval = "500ms", report_interval = "500ms" } }
[deploy]
manifests = "manifests"
mock = "mock"
[run]
ports = "any"
"#;

/// The shipped manifests under other labels; the DaemonSet selects by expressions.
pub(crate) fn workplace() -> Scratch {
    let place = Scratch::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    copy(&shipped.join("kubernetes"), &place.path().join("manifests"));
    copy(&shipped.join("mock-api"), &place.path().join("mock"));
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    let label = "app.kubernetes.io/name: plexd";
    let selector = format!("    matchLabels:\n      {label}\n");
    let expression = "    matchExpressions:\n      - {key: mesh, operator: In, values: [agent]}\n";
    edit(&place, "manifests/daemonset.yaml", &selector, expression);
    edit(&place, "manifests/daemonset.yaml", label, "mesh: agent");
    let label = "app.kubernetes.io/name: mock-api";
    edit(&place, "mock/mock-api.yaml", label, "role: central");
    place
}

fn edit(place: &Scratch, file: &str, from: &str, to: &str) {
    let file = place.path().join(file);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn other_labels_pass_on_local() {
    let place = workplace();
    let mut command = place.command(&["--provider", "local"]);
    let output = command.timeout(PATIENCE).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
}
