//! Secrets that users pass to an agent appear in no output of a cell on a real cluster, even if the cluster is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::Scratch;
use crate::support::canaries::{self, Outputs, files};
use crate::support::inherited::{ENGINE, inherited};

#[test]
#[ignore = "needs kind (creates 1 cluster)"]
fn no_secret_of_a_user_reaches_any_output() {
    let scratch = Scratch::new();
    canaries::write(scratch.path(), "1.36");
    canaries::write_image(scratch.path());
    let state = scratch.path().join("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let arguments = ["--provider", "kind", "--keep", "always", "--log", "trace"];
    let output = canaries::command(&scratch, &arguments)
        .envs(inherited(&ENGINE))
        .output()
        .unwrap();
    let outputs = Outputs::of(&output, &[scratch.path().join("target"), state.clone()]);
    let kept = files(&state);
    let open = canaries::open_to_others(&state);
    let gc = scratch
        .command(&["gc", "--kept"])
        .envs(inherited(&ENGINE))
        .output();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(gc.unwrap().status.success());
    assert_eq!(outputs.leaks(), []);
    outputs.assert_logs_are_reported();
    assert_eq!(open, [] as [PathBuf; 0]);
    let kubeconfig = kept.iter().find(|file| file.ends_with("kubeconfig"));
    assert!(kubeconfig.is_some(), "{kept:?}");
}
