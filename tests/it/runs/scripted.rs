//! A workplace whose mock is a script, which ends at once in the attempts that a test wants to break: their class is infrastructure.

use std::fs;
use std::process::Output;
use std::time::Duration;

use crate::support::{Scratch, write_program};

/// Far more than a whole run takes: what hangs is killed and told.
const PATIENCE: Duration = Duration::from_secs(180);

/// Loops so short that a cell takes a second or two.
const AGENT: &str = r#"{ heartbeat = { interval = "500ms" }, metrics = { report_interval = "500ms" }, audit_fwd = { report_interval = "500ms" } }"#;

/// One-node cells `k8s-1.36-n1-<config>`, in which the mock ends at once where the mark of its processes, `<run>/<cell>` and for a
/// further attempt `/attempt-<n>`, fits one of the shell's `patterns`. The config `silent` waits for an hour for what never comes.
pub(crate) fn workplace(configs: &[&str], patterns: &str) -> Scratch {
    let place = Scratch::new();
    let variants = configs.iter().map(|name| {
        let env = match *name {
            "silent" => "env = { PLEXD_FAULT = \"no-audit\" }\n",
            _ => "",
        };
        format!("[config.{name}]\nagent = {AGENT}\n{env}")
    });
    let matrix = format!(
        "[matrix]\nkubernetes = [\"1.36\"]\nconfig = {configs:?}\n{}\
         [phases.assertions]\ntimeout = \"1h\"\n[run]\nports = \"any\"\n\
         [images.mock]\nimage = \"mock.example/script:1\"\nbinary = \"mock.sh\"\n",
        variants.collect::<String>()
    );
    fs::write(place.path().join("matrix.toml"), matrix).unwrap();
    let program = env!("CARGO_BIN_EXE_e2e-matrix");
    let script = place.path().join("mock.sh");
    let text = format!(
        "#!/bin/sh\ncase \"$E2E_MATRIX_PROCESS\" in {patterns}) exit 1;; esac\nexec '{program}' mockapi \"$@\"\n"
    );
    write_program(&script, &text);
    place
}

/// Runs all cells of `place` locally. What is told, and the exit code.
pub(crate) fn run(place: &Scratch, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = place.command(&["--provider", "local"]);
    let ran = command.args(arguments).timeout(PATIENCE).output();
    let Output { status, stderr, .. } = ran.unwrap();
    (String::from_utf8(stderr).unwrap(), status.code())
}
