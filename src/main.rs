//! The `e2e-matrix` binary. All of its code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    e2e_matrix::cli::main()
}
