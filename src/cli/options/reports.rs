//! Where runs and their reports are stored: options of `run`, `report`, `replay` and `merge`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::runner;

/// Where runs are stored.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(in crate::cli) struct OutputDir {
    /// The folder for runs
    ///
    /// Defaults to `target/e2e-matrix` next to the matrix file.
    #[arg(
        long = "output-dir",
        short = 'o',
        env = "E2E_MATRIX_OUTPUT_DIR",
        value_name = "DIR"
    )]
    pub(in crate::cli) path: Option<PathBuf>,
}

impl OutputDir {
    /// The folder for the runs of the matrix file at `matrix`.
    pub(in crate::cli) fn of(&self, matrix: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| runner::out(matrix))
    }
}

/// Where runs are stored, for a command that doesn't read the matrix.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(in crate::cli) struct RunLocation {
    #[command(flatten)]
    pub(in crate::cli) output_dir: OutputDir,
    /// The matrix file, whose folder contains the folder for runs
    ///
    /// Defaults to `matrix.toml` in the current folder or the nearest parent folder that has one.
    #[arg(long, short, env = "E2E_MATRIX_MATRIX", value_name = "FILE")]
    pub(in crate::cli) matrix: Option<PathBuf>,
}

/// Additional copies of reports.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Reports")]
pub(in crate::cli) struct CopyOptions {
    /// Also write the JUnit XML to this file
    #[arg(long, env = "E2E_MATRIX_JUNIT", value_name = "FILE")]
    pub(in crate::cli) junit: Option<PathBuf>,
    /// Also write the Markdown summary to this file
    #[arg(long, env = "E2E_MATRIX_SUMMARY", value_name = "FILE")]
    pub(in crate::cli) summary: Option<PathBuf>,
}
