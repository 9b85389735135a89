//! Manifests with labels and selectors that differ from the shipped ones: the suite passes, too.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Scratch, copy};

/// Far longer than one cell should take; a run that hangs is killed and its output is shown.
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

/// A scratch folder with the shipped manifests under other labels. The DaemonSet selects its pods with expressions.
pub(crate) fn prepare() -> Scratch {
    let scratch = Scratch::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    copy(
        &shipped.join("kubernetes"),
        &scratch.path().join("manifests"),
    );
    copy(&shipped.join("mock-api"), &scratch.path().join("mock"));
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let label = "app.kubernetes.io/name: plexd";
    let selector = format!("    matchLabels:\n      {label}\n");
    let expression = "    matchExpressions:\n      - {key: mesh, operator: In, values: [agent]}\n";
    edit(&scratch, "manifests/daemonset.yaml", &selector, expression);
    edit(&scratch, "manifests/daemonset.yaml", label, "mesh: agent");
    let label = "app.kubernetes.io/name: mock-api";
    edit(&scratch, "mock/mock-api.yaml", label, "role: central");
    scratch
}

fn edit(scratch: &Scratch, file: &str, from: &str, to: &str) {
    let file = scratch.path().join(file);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn a_cell_with_other_labels_passes_on_local() {
    let scratch = prepare();
    let mut command = scratch.command(&["--provider", "local"]);
    let output = command.timeout(PATIENCE).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}
