//! A scratch folder whose mock is a script. In the attempts that a test wants to fail, the mock exits immediately,
//! which is an infrastructure failure.

use std::fs;
use std::process::Output;
use std::time::Duration;

use crate::support::{Scratch, write_program};

/// Far longer than a whole run should take; a run that hangs is killed and its output is shown.
const PATIENCE: Duration = Duration::from_secs(180);

/// Intervals so short that a cell takes a second or two.
const AGENT: &str = r#"{ heartbeat = { interval = "500ms" }, metrics = { report_interval = "500ms" }, audit_fwd = { report_interval = "500ms" } }"#;

/// Prepares one-node cells `k8s-1.36-n1-<config>`. The mock exits immediately if its process mark matches one of the
/// shell's `patterns`. A mark is `<run>/<cell>`, followed by `/attempt-<n>` for a retry. The config `silent` waits an
/// hour for a call that never comes.
pub(crate) fn prepare(configs: &[&str], patterns: &str) -> Scratch {
    let scratch = Scratch::new();
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
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let program = env!("CARGO_BIN_EXE_e2e-matrix");
    let script = scratch.path().join("mock.sh");
    let text = format!(
        "#!/bin/sh\ncase \"$E2E_MATRIX_PROCESS\" in {patterns}) exit 1;; esac\nexec '{program}' mockapi \"$@\"\n"
    );
    write_program(&script, &text);
    scratch
}

/// Runs all cells of `scratch` locally. Returns stderr and the exit code.
pub(crate) fn run(scratch: &Scratch, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = scratch.command(&["--provider", "local"]);
    let ran = command.args(arguments).timeout(PATIENCE).output();
    let Output { status, stderr, .. } = ran.unwrap();
    (String::from_utf8(stderr).unwrap(), status.code())
}
