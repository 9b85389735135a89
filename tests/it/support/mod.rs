//! Helpers for the integration tests: a folder in which the real binary runs in a clean environment.

pub(crate) mod by_hand;
pub(crate) mod canaries;
pub(crate) mod cases;
pub(crate) mod inherited;
pub(crate) mod listeners;
pub(crate) mod manifests;
pub(crate) mod overlap;
pub(crate) mod record;
pub(crate) mod reported_node;
pub(crate) mod snapshot;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process;
use std::time::Duration;

use assert_cmd::Command;
use e2e_matrix::matrix::{Cell, Matrix};
use tempfile::TempDir;

/// Far longer than a whole run on the local provider should take.
const PATIENCE: Duration = Duration::from_secs(180);

/// A temporary folder with folders for the home, for temporary files and for state. If the test fails, it is not
/// deleted.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// Creates a folder.
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("e2e-matrix-test-").unwrap();
        for name in ["home", "tmp", "state"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The binary with `arguments` in this folder, in a clean environment: no Docker, no kind, no color.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        Command::from_std(self.process(arguments))
    }

    /// Runs the binary with `arguments` in this folder. A run that hangs is killed.
    pub(crate) fn run(&self, arguments: &[&str]) -> process::Output {
        let mut command = self.command(arguments);
        command.timeout(PATIENCE).output().unwrap()
    }

    /// Like [`Self::run`], for a run that has to exit with `code`.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32, arguments: &[&str]) -> process::Output {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        output
    }

    /// Like [`Self::command`], for tests that read the output while the binary runs.
    pub(crate) fn process(&self, arguments: &[&str]) -> process::Command {
        let mut command = process::Command::new(env!("CARGO_BIN_EXE_e2e-matrix"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path().join("home"))
            .env("TMPDIR", self.path().join("tmp"))
            .env("PATH", self.path().join("nothing"))
            .env("E2E_MATRIX_STATE_DIR", self.path().join("state"))
            .env("COLUMNS", "100");
        command
    }
}

/// The only cell of a matrix with this version and number of nodes.
pub(crate) fn cell(version: &str, nodes: u16) -> Cell {
    let text = format!("[matrix]\nkubernetes = [\"{version}\"]\nnodes = [{nodes}]\n");
    Matrix::parse("matrix.toml", &text).unwrap().cells.remove(0)
}

/// Intervals so short that a cell takes a second, unless it has to wait for something that never happens.
pub(crate) const QUICK_AGENT: &str = r#"{ heartbeat = { interval = "500ms" }, metrics = { collect_interval = "500ms", report_interval = "500ms" }, log_fwd = { collect_interval = "500ms", report_interval = "500ms" }, audit_fwd = { collect_interval = "500ms", report_interval = "500ms" } }"#;

/// A matrix with one cell, whose agents report twice per second.
pub(crate) fn quick_matrix(version: &str) -> String {
    format!(
        "[matrix]\nkubernetes = [\"{version}\"]\n[run]\nports = \"any\"\n[config.default]\nagent = {QUICK_AGENT}\n"
    )
}

/// Writes an executable file.
pub(crate) fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs `command` through `program` with `arguments`, in the same folder and with the same environment.
pub(crate) fn through(
    program: &str,
    arguments: &[&str],
    command: &process::Command,
) -> process::Command {
    let mut outer = process::Command::new(program);
    let variables = command.get_envs();
    outer
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(variables.filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            let folder = self.path().display();
            // Writing to a closed stream must not turn a failed test into an abort.
            drop(writeln!(
                std::io::stderr(),
                "files of the failed test: {folder}"
            ));
        }
    }
}
