//! The options of all commands. Each option of `run` has an environment variable, which `--help` shows.

mod choice;
mod clusters;
mod execution;
mod output;
mod recorded;
mod reports;
mod select;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::matrix::{AGES, ProviderChoice, parse_duration};

pub(super) use clusters::ClusterOptions;
pub(super) use execution::ExecutionOptions;
pub(super) use output::{ColorChoice, OutputOptions};
pub(super) use recorded::{Format, MergeOptions, ReplayOptions, ReportOptions};
pub(super) use reports::{CopyOptions, OutputDir, RunLocation};
pub(super) use select::{NoCells, RerunOptions, SelectOptions};

/// The options of `list`.
#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    pub(super) select: SelectOptions,
    /// Print a JSON array with one object per cell
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

/// The options of `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainOptions {
    /// The id of a cell, as shown by `list`, or a symptom of failures, such as `agent-crashed`
    #[arg(value_name = "CELL|SYMPTOM")]
    pub(super) subject: String,
    /// The matrix file
    ///
    /// Defaults to `matrix.toml` in the current folder or the nearest parent folder that has one.
    #[arg(long, short, env = "E2E_MATRIX_MATRIX", value_name = "FILE")]
    pub(super) matrix: Option<PathBuf>,
    /// The provider that the cell would run on: auto, kind, local or existing
    ///
    /// Defaults to the value in the matrix file, or `auto`.
    #[arg(long, env = "E2E_MATRIX_PROVIDER", value_name = "PROVIDER", value_parser = choice::one_of(&clusters::PROVIDERS, ProviderChoice::name))]
    pub(super) provider: Option<ProviderChoice>,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

/// The options of `prepare`.
#[derive(Debug, Args)]
pub(super) struct PrepareOptions {
    #[command(flatten)]
    pub(super) select: SelectOptions,
    /// Skip cells whose node image is neither local nor in its registry
    #[arg(long, env = "E2E_MATRIX_SKIP_MISSING_IMAGES")]
    pub(super) skip_missing_images: bool,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

/// The options of `gc`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent switch"
)]
pub(super) struct GarbageOptions {
    /// List what would be deleted, without deleting anything
    #[arg(long, env = "E2E_MATRIX_GC_DRY_RUN")]
    pub(super) dry_run: bool,
    /// Also delete resources that runs kept on purpose
    #[arg(long, env = "E2E_MATRIX_GC_KEPT")]
    pub(super) kept: bool,
    /// Also delete resources that runs kept on purpose, and images and archives that later runs would reuse
    #[arg(long, env = "E2E_MATRIX_GC_ALL")]
    pub(super) all: bool,
    /// Ignore runs that were active within this time, such as `2h`; at most 3650 days
    #[arg(long, env = "E2E_MATRIX_GC_OLDER_THAN", value_name = "DURATION", value_parser = |text: &str| parse_duration(text, &AGES))]
    pub(super) older_than: Option<Duration>,
    /// Print a JSON array with one object per resource
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

/// The options of `run`.
#[derive(Debug, Args)]
pub(super) struct RunOptions {
    #[command(flatten)]
    pub(super) select: SelectOptions,
    #[command(flatten)]
    pub(super) rerun: RerunOptions,
    #[command(flatten)]
    pub(super) execution: ExecutionOptions,
    #[command(flatten)]
    pub(super) clusters: ClusterOptions,
    #[command(flatten)]
    pub(super) output_dir: OutputDir,
    #[command(flatten)]
    pub(super) copies: CopyOptions,
    #[command(flatten)]
    pub(super) output: OutputOptions,
    /// Show each phase
    #[arg(long, short, env = "E2E_MATRIX_VERBOSE", help_heading = "Output")]
    pub(super) verbose: bool,
}
