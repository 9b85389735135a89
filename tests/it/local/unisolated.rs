//! On a machine that permits no namespaces.

use std::fs;
use std::process::Command;

use crate::support::{Scratch, through, write_program};

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [2]\n[run]\nports = \"any\"\n";
/// Runs its arguments as a user that may create no namespace.
const REFUSE: &str = "echo 0 > /proc/sys/user/max_user_namespaces && \
                      exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";

/// Runs the cell. Returns the exit code and what was told.
fn run(place: &Scratch, matrix: &str) -> (Option<i32>, String) {
    fs::write(place.path().join("matrix.toml"), matrix).unwrap();
    let command: Command = place.process(&["--provider", "local"]);
    let arguments = ["--user", "--map-root-user", "sh", "-c", REFUSE, "sh"];
    let mut command = through("unshare", &arguments, &command);
    // For the programs of the arguments.
    command.env("PATH", std::env::var_os("PATH").unwrap());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}

const WHY: &str = "this machine doesn't permit the namespaces that isolate local pods \
                   (failed to create a user namespace: ";
const HOW: &str = "to permit them, run `sudo sysctl --write user.max_user_namespaces=10000`";

#[test]
fn the_reference_agent_runs_and_a_sentence_says_how_to_isolate_it() {
    let place = Scratch::new();
    let (code, told) = run(&place, MATRIX);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(WHY) && told.contains(HOW), "{told}");
}

#[test]
fn a_foreign_agent_is_not_started() {
    let place = Scratch::new();
    let started = place.path().join("started");
    let agent = format!("#!/bin/sh\necho > '{}'\nexit 1\n", started.display());
    write_program(&place.path().join("plexd"), &agent);
    let images = "[images.agent]\nimage = \"plexd:1\"\nbinary = \"plexd\"\n";
    let (code, told) = run(&place, &format!("{MATRIX}{images}"));
    assert_eq!(code, Some(3), "{told}");
    assert!(
        told.contains("because it could write to the host"),
        "{told}"
    );
    assert!(told.contains(WHY) && told.contains(HOW), "{told}");
    assert!(!started.exists());
}
