//! The options of the commands that read the records of runs: `report`, `replay`, `merge` and `schema`.

use clap::{Args, ValueEnum};

use super::{CopyOptions, LookOptions, Place};

/// An existing run.
#[derive(Debug, Args)]
pub(in crate::cli) struct RecordedRun {
    /// The run: its id, its folder or its record; the latest by default
    #[arg(value_name = "RUN")]
    pub(in crate::cli) run: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
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
    #[arg(long, short, env = "E2E_MATRIX_VERBOSE", help_heading = "Output")]
    pub(in crate::cli) verbose: bool,
}

/// What `merge` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct MergeOptions {
    /// The runs: ids, folders, or folders that contain runs, such as that of a nextest run
    #[arg(value_name = "RUN", required = true)]
    pub(in crate::cli) runs: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    #[command(flatten)]
    pub(in crate::cli) copies: CopyOptions,
    #[command(flatten)]
    pub(in crate::cli) look: LookOptions,
}

/// A format with a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum Format {
    /// One line of `events.ndjson`
    Events,
    /// `matrix.toml`, for editors
    Matrix,
}

/// The limits ensure that a duration divided by the value is still a valid duration.
fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().ok();
    factor
        .filter(|factor| (0.001..=1_000_000.0).contains(factor))
        .ok_or_else(|| "a speed is a number from 0.001 to 1000000, such as 1 or 20".to_owned())
}
