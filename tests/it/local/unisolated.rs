//! Runs on a machine that does not permit namespaces.

use std::fs;
use std::process::Command;

use crate::support::{Scratch, through, write_program};

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [2]\n[run]\nports = \"any\"\n";
/// Runs its arguments as a user who may not create namespaces.
const WITHOUT_NAMESPACES: &str = "echo 0 > /proc/sys/user/max_user_namespaces && \
                      exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";

/// Runs the cell. Returns the exit code and stderr.
fn run(scratch: &Scratch, matrix: &str) -> (Option<i32>, String) {
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let command: Command = scratch.process(&["--provider", "local"]);
    let arguments = [
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        WITHOUT_NAMESPACES,
        "sh",
    ];
    let mut command = through("unshare", &arguments, &command);
    // `PATH` is needed to find the programs `sh` and `setpriv`.
    command.env("PATH", std::env::var_os("PATH").unwrap());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr)
}

const WHY: &str = "this machine doesn't permit the namespaces that isolate local pods \
                   (failed to create a user namespace: ";
const HOW: &str = "to permit them, run `sudo sysctl --write user.max_user_namespaces=10000`";

#[test]
fn the_reference_agent_runs_and_the_output_says_how_to_isolate_it() {
    let scratch = Scratch::new();
    let (code, stderr) = run(&scratch, MATRIX);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(WHY) && stderr.contains(HOW), "{stderr}");
}

#[test]
fn a_foreign_agent_is_not_started() {
    let scratch = Scratch::new();
    let started = scratch.path().join("started");
    let agent = format!("#!/bin/sh\necho > '{}'\nexit 1\n", started.display());
    write_program(&scratch.path().join("plexd"), &agent);
    let images = "[images.agent]\nimage = \"plexd:1\"\nbinary = \"plexd\"\n";
    let (code, stderr) = run(&scratch, &format!("{MATRIX}{images}"));
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("because it could write to the host"),
        "{stderr}"
    );
    assert!(stderr.contains(WHY) && stderr.contains(HOW), "{stderr}");
    assert!(!started.exists());
}
