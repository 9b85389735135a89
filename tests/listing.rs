//! Listing the cells as tests is a matter of milliseconds, and of the matrix file alone. This binary plays two parts: the tests,
//! and, where they start it again, the binary of cells that they look at.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};

/// Names the folder of the matrix file, where this process is the binary of cells.
const AS_CELLS_OF: &str = "LISTING_AS_CELLS_OF";
/// How long a listing may take; the best of so many counts, for the machine may be busy.
const LIMIT: Duration = Duration::from_millis(100);
const ATTEMPTS: usize = 10;

const MATRIX: &str = r#"
[matrix]
kubernetes = ["1.30", "1.36"]
nodes = [1, 3]
[run]
provider = "kind"
"#;
const CELLS: [&str; 4] = [
    "k8s-1.30-n1-default",
    "k8s-1.30-n3-default",
    "k8s-1.36-n1-default",
    "k8s-1.36-n3-default",
];

fn main() -> ExitCode {
    let runner = Path::new(env!("CARGO_BIN_EXE_e2e-matrix"));
    if let Some(folder) = std::env::var_os(AS_CELLS_OF) {
        return e2e_matrix::cli::harness(Path::new(&folder), runner);
    }
    let tests: [(&str, fn()); 4] = [
        (
            "every_cell_is_a_test_by_its_id",
            every_cell_is_a_test_by_its_id,
        ),
        ("listing_takes_milliseconds", listing_takes_milliseconds),
        ("a_filter_leaves_cells_out", a_filter_leaves_cells_out),
        (
            "a_matrix_that_cannot_be_read_is_told",
            a_matrix_that_cannot_be_read_is_told,
        ),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    let trials = trials.into();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Lists the cells of `matrix` as nextest does, with nothing that could lead to Docker or kind.
fn list(matrix: &str, environment: &[(&str, &str)]) -> (Output, Duration) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("matrix.toml"), matrix).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--list", "--format", "terse"])
        .env_clear()
        .envs(environment.iter().copied())
        .env(AS_CELLS_OF, folder.path())
        .env("PATH", "")
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let start = Instant::now();
    let output = command.output().unwrap();
    (output, start.elapsed())
}

fn tests(output: &Output) -> Vec<&str> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect()
}

fn every_cell_is_a_test_by_its_id() {
    let (output, _) = list(MATRIX, &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(tests(&output), CELLS);
}

fn listing_takes_milliseconds() {
    let attempts = (0..ATTEMPTS).map(|_| list(MATRIX, &[]).1);
    let best = attempts.min().expect("there is an attempt");
    assert!(best < LIMIT, "the best of {ATTEMPTS} took {best:?}");
}

fn a_filter_leaves_cells_out() {
    let (output, _) = list(MATRIX, &[("E2E_MATRIX_FILTER", "k8s-1.30")]);
    assert_eq!(tests(&output), CELLS[..2]);
}

fn a_matrix_that_cannot_be_read_is_told() {
    let (output, _) = list("[matrix]\nkubernetes = [1.30]\n", &[]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("\"1.30\""), "{stderr}");
}
