//! One test per cell of the shipped matrix: `cargo nextest run k8s-1.30`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    e2e_matrix::cli::harness(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        Path::new(env!("CARGO_BIN_EXE_e2e-matrix")),
    )
}
