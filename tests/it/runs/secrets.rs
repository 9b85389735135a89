//! Secrets that users pass to an agent appear in no output, although the agent prints everything that it gets and its
//! cell fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::Scratch;
use crate::support::canaries::{self, Outputs};

#[test]
fn no_secret_of_a_user_reaches_any_output() {
    let scratch = Scratch::new();
    canaries::write(scratch.path(), "1.36");
    let arguments = ["--provider", "local", "--log", "trace"];
    let output = canaries::command(&scratch, &arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let folders = ["target", "state"].map(|name| scratch.path().join(name));
    let outputs = Outputs::of(&output, &folders);
    assert_eq!(outputs.leaks(), []);
    outputs.assert_logs_are_reported();
}

#[test]
fn files_in_the_state_folder_are_private() {
    let scratch = Scratch::new();
    canaries::write(scratch.path(), "1.36");
    let state = scratch.path().join("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let arguments = ["--provider", "local", "--keep", "always"];
    let output = canaries::command(&scratch, &arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let kept = Outputs::of(&output, std::slice::from_ref(&state)).leaks();
    assert!(
        !kept.is_empty(),
        "the agent's own files contain the secrets"
    );
    for (file, _) in &kept {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    assert_eq!(canaries::open_to_others(&state), [] as [PathBuf; 0]);
    let outputs = Outputs::of(&output, &[scratch.path().join("target")]);
    assert_eq!(outputs.leaks(), []);
}

const MATRIX: &str = r#"[matrix]
kubernetes = ["1.36"]
config = ["default", "remote"]
[config.remote]
env = { TOKEN = { from-env = "REMOTE_TOKEN" }, API_KEY = "canary-beside-the-error" }
"#;

#[test]
fn a_variable_that_is_not_set_is_an_error_before_the_run() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let output = scratch.command(&["--provider", "local"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("the environment variable `REMOTE_TOKEN` is not set"),
        "{stderr}"
    );
    assert!(stderr.contains("matrix.toml:5:"), "{stderr}");
    assert!(!stderr.contains("canary"), "{stderr}");
    let created = ["target", "state/runs"].map(|name| scratch.path().join(name).exists());
    assert_eq!(created, [false, false]);
}

#[test]
fn a_variable_is_read_only_for_the_cells_that_run() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let list = scratch.command(&["list", "--json"]).output().unwrap();
    assert_eq!(list.status.code(), Some(0));
    let arguments = ["--provider", "local", "--filter", "default"];
    let output = scratch.command(&arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}
