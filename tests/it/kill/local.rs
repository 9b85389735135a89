//! Runs on the local provider, of one cell.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use e2e_matrix::matrix::Phase;

use crate::kill::running::Running;
use crate::support::Scratch;

/// One cell, on any port.
const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.36"]
[run]
ports = "any"
"#;

/// The binary with `arguments` of `run`.
pub(crate) fn run(place: &Scratch, arguments: &[&str]) -> Command {
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    place.process(&[&["--provider", "local"], arguments].concat())
}

/// A run that is held in `phase` by now.
pub(crate) fn held(place: &Scratch, phase: Phase) -> Running {
    Running::held(run(place, &["--hold", phase.name()]), phase)
}

/// Removes what dead runs left in `place`, without looking at this machine's container engine: others may be at work there.
pub(crate) fn gc(place: &Scratch) {
    let mut command = place.command(&["gc"]);
    command.env("DOCKER_HOST", NO_ENGINE).assert().code(0);
}

/// Where no engine is.
pub(crate) const NO_ENGINE: &str = "unix:///no/such/engine.sock";

/// The file of the newest run in `place` that is called `name`.
pub(crate) fn file(place: &Scratch, name: &str) -> PathBuf {
    place.path().join("target/e2e-matrix/latest").join(name)
}
