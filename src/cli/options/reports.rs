//! Where runs and their reports are: options of `run`, `report`, `replay` and `merge`.

use std::path::PathBuf;

use clap::Args;

/// Where runs are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(in crate::cli) struct OutputDir {
    /// The folder for runs
    ///
    /// The default is `target/e2e-matrix` next to the matrix file.
    #[arg(
        long = "output-dir",
        short = 'o',
        env = "E2E_MATRIX_OUTPUT_DIR",
        value_name = "DIR"
    )]
    pub(in crate::cli) path: Option<PathBuf>,
}

/// Where runs are, for a command that doesn't read the matrix.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(in crate::cli) struct Place {
    #[command(flatten)]
    pub(in crate::cli) output_dir: OutputDir,
    /// The matrix file, to find the folder for runs next to it
    ///
    /// The default is `matrix.toml` in this folder or the nearest parent folder that has one.
    #[arg(long, short, env = "E2E_MATRIX_MATRIX", value_name = "FILE")]
    pub(in crate::cli) matrix: Option<PathBuf>,
}

/// Additional copies of reports.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Reports")]
pub(in crate::cli) struct CopyOptions {
    /// Also writes the JUnit XML to this file
    #[arg(long, env = "E2E_MATRIX_JUNIT", value_name = "FILE")]
    pub(in crate::cli) junit: Option<PathBuf>,
    /// Also writes the Markdown summary to this file
    #[arg(long, env = "E2E_MATRIX_SUMMARY", value_name = "FILE")]
    pub(in crate::cli) summary: Option<PathBuf>,
}
