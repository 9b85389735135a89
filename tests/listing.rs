//! Listing the cells as tests needs only the matrix file, and writes nothing. This binary has two roles: it runs the
//! tests, and when a test starts it again, it acts as the test binary of the cells.

#![expect(clippy::unwrap_used, reason = "a test that can't continue has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Trial};

/// The folder of the matrix file. If this variable is set, the process acts as the test binary of the cells.
const AS_CELLS_OF: &str = "LISTING_AS_CELLS_OF";

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
    let tests: [(&str, fn()); 3] = [
        (
            "every_cell_is_a_test_named_by_its_id",
            every_cell_is_a_test_named_by_its_id,
        ),
        ("a_filter_selects_cells", a_filter_selects_cells),
        (
            "an_invalid_matrix_file_is_reported",
            an_invalid_matrix_file_is_reported,
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

/// Lists the cells of `matrix` as nextest does, without access to Docker or kind.
fn list(matrix: &str, environment: &[(&str, &str)]) -> Output {
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
    let output = command.output().unwrap();
    let files = fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["matrix.toml"], "listing must not write files");
    output
}

fn tests(output: &Output) -> Vec<&str> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect()
}

fn every_cell_is_a_test_named_by_its_id() {
    let output = list(MATRIX, &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(tests(&output), CELLS);
}

fn a_filter_selects_cells() {
    let output = list(MATRIX, &[("E2E_MATRIX_FILTER", "k8s-1.30")]);
    assert_eq!(tests(&output), CELLS[..2]);
}

fn an_invalid_matrix_file_is_reported() {
    let output = list("[matrix]\nkubernetes = [1.30]\n", &[]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("\"1.30\""), "{stderr}");
}
