//! The options of `report`, `replay` and `merge`, which read the records of runs, and of `schema`.

use clap::{Args, ValueEnum};

use super::{CopyOptions, OutputOptions, RunLocation};

/// An existing run.
#[derive(Debug, Args)]
pub(in crate::cli) struct RecordedRun {
    /// The id, folder or record of the run [default: the latest run]
    #[arg(value_name = "RUN")]
    pub(in crate::cli) run: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) location: RunLocation,
}

/// The options of `report`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReportOptions {
    #[command(flatten)]
    pub(in crate::cli) recorded: RecordedRun,
    #[command(flatten)]
    pub(in crate::cli) copies: CopyOptions,
    /// Exit with the exit code of the run instead of 0; a run that was killed counts as an infrastructure failure
    #[arg(long, env = "E2E_MATRIX_EXIT_CODE")]
    pub(in crate::cli) exit_code: bool,
    #[command(flatten)]
    pub(in crate::cli) output: OutputOptions,
}

/// The options of `replay`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayOptions {
    #[command(flatten)]
    pub(in crate::cli) recorded: RecordedRun,
    /// Replay at this multiple of the recorded speed, from 0.001 to 1000000 [default: without delays]
    #[arg(long, env = "E2E_MATRIX_SPEED", value_name = "FACTOR", value_parser = factor)]
    pub(in crate::cli) speed: Option<f64>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputOptions,
    /// Show each phase
    #[arg(long, short, env = "E2E_MATRIX_VERBOSE", help_heading = "Output")]
    pub(in crate::cli) verbose: bool,
}

/// The options of `merge`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MergeOptions {
    /// The runs: ids, folders, or folders that contain several runs, such as the folder of a nextest run
    #[arg(value_name = "RUN", required = true)]
    pub(in crate::cli) runs: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) location: RunLocation,
    #[command(flatten)]
    pub(in crate::cli) copies: CopyOptions,
    #[command(flatten)]
    pub(in crate::cli) output: OutputOptions,
}

/// A format with a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum Format {
    /// One line of `events.ndjson`
    Events,
    /// `matrix.toml`, for editors
    Matrix,
}

/// Parses the value of `--speed`. The limits ensure that a duration divided by this value is still a valid duration.
fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().ok();
    factor
        .filter(|factor| (0.001..=1_000_000.0).contains(factor))
        .ok_or_else(|| "expected a number from 0.001 to 1000000, such as 1 or 20".to_owned())
}
