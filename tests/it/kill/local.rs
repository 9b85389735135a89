//! Runs on the local provider, with one cell.

use std::fs;
use std::process::Command;

use e2e_matrix::matrix::Phase;

use crate::kill::running::Running;
use crate::support::Scratch;

/// One cell, on any free port.
const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
[run]
ports = "any"
"#;

/// The command `run` with `arguments`.
pub(crate) fn run(scratch: &Scratch, arguments: &[&str]) -> Command {
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    scratch.process(&[&["--provider", "local"], arguments].concat())
}

/// Starts a run, and waits until it is held in `phase`.
pub(crate) fn held(scratch: &Scratch, phase: Phase) -> Running {
    Running::held(run(scratch, &["--hold", phase.name()]), phase)
}

/// Deletes what dead runs left in `scratch`. Ignores this machine's container engine, because other runs may be using
/// it.
pub(crate) fn gc(scratch: &Scratch) {
    let mut command = scratch.command(&["gc"]);
    command.env("DOCKER_HOST", NO_ENGINE).assert().code(0);
}

/// An address at which no engine listens.
pub(crate) const NO_ENGINE: &str = "unix:///no/such/engine.sock";
