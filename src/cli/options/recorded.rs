//! The options of the commands that read the record of a run: `report`, `replay` and `schema`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::LookOptions;

/// An existing run.
#[derive(Debug, Args)]
pub(in crate::cli) struct RecordedRun {
    /// The run: its id, its folder or its record [default: the latest]
    #[arg(value_name = "RUN")]
    pub(in crate::cli) run: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
}

/// Where runs are.
#[derive(Debug, Args)]
pub(in crate::cli) struct Place {
    /// The folder for runs [default: `target/e2e-matrix` next to the matrix file]
    #[arg(long, short, env = "E2E_MATRIX_OUT", value_name = "DIR")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// The matrix file, to find the folder for runs next to it [default: `matrix.toml` in this or a parent folder]
    #[arg(long, short, env = "E2E_MATRIX_MATRIX", value_name = "FILE")]
    pub(in crate::cli) matrix: Option<PathBuf>,
}

/// Additional copies of reports.
#[derive(Debug, Args)]
pub(in crate::cli) struct CopyOptions {
    /// Also writes the JUnit XML to this file
    #[arg(long, env = "E2E_MATRIX_JUNIT", value_name = "FILE")]
    pub(in crate::cli) junit: Option<PathBuf>,
    /// Also writes the Markdown summary to this file
    #[arg(long, env = "E2E_MATRIX_SUMMARY", value_name = "FILE")]
    pub(in crate::cli) summary: Option<PathBuf>,
}

/// What `report` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReportOptions {
    #[command(flatten)]
    pub(in crate::cli) recorded: RecordedRun,
    #[command(flatten)]
    pub(in crate::cli) copies: CopyOptions,
    /// Exits with the exit code of the run instead of 0; a run that was killed counts as an infrastructure failure
    #[arg(long, env = "E2E_MATRIX_EXIT_CODE")]
    pub(in crate::cli) exit_code: bool,
    #[command(flatten)]
    pub(in crate::cli) look: LookOptions,
}

/// What `replay` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayOptions {
    #[command(flatten)]
    pub(in crate::cli) recorded: RecordedRun,
    /// Replays with the recorded timing, this many times as fast: 0.001 to 1000000 [default: at once]
    #[arg(long, env = "E2E_MATRIX_SPEED", value_name = "FACTOR", value_parser = factor)]
    pub(in crate::cli) speed: Option<f64>,
    #[command(flatten)]
    pub(in crate::cli) look: LookOptions,
    /// Shows each phase
    #[arg(long, short, env = "E2E_MATRIX_VERBOSE")]
    pub(in crate::cli) verbose: bool,
}

/// A format with a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum Format {
    /// One line of `events.ndjson`
    Events,
}

/// Small enough that a duration divided by it is still a duration.
fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().ok();
    factor
        .filter(|factor| (0.001..=1_000_000.0).contains(factor))
        .ok_or_else(|| "a speed is a number from 0.001 to 1000000, such as 1 or 20".to_owned())
}
