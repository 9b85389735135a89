//! The options of `run` and `list`. Each has an environment variable, which `--help` shows.

mod again;
mod course;
mod look;
mod merge;
mod place;
mod recorded;
mod shard;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::matrix::{AGES, DEADLINES, DurationError, Jobs, Phase, ProviderChoice, parse_duration};

pub(super) use again::AgainOptions;
pub(super) use course::CourseOptions;
pub(super) use look::{Color, LookOptions};
pub(super) use merge::MergeOptions;
pub(super) use place::PlaceOptions;
pub(super) use recorded::{CopyOptions, Format, Place, ReplayOptions, ReportOptions};
pub(super) use shard::ShardOptions;

/// Which cells.
#[derive(Debug, Args)]
pub(super) struct SelectOptions {
    /// The matrix file [default: `matrix.toml` in this or a parent folder]
    #[arg(long, short, env = "E2E_MATRIX_MATRIX", value_name = "FILE")]
    pub(super) matrix: Option<PathBuf>,
    /// Selects cells, such as `k8s-1.30` or `k8s >= 1.33 and not fast`; can be repeated, then any filter may match
    #[arg(long, short, env = "E2E_MATRIX_FILTER", value_name = "EXPR")]
    pub(super) filter: Vec<String>,
    #[command(flatten)]
    pub(super) shard: ShardOptions,
}

/// What `list` takes.
#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    pub(super) select: SelectOptions,
    /// Prints a JSON array with one object per cell
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) look: LookOptions,
}

/// What `explain` takes.
#[derive(Debug, Args)]
pub(super) struct ExplainOptions {
    /// The cell's id, as `list` shows it
    #[arg(value_name = "CELL")]
    pub(super) cell: String,
    /// The matrix file [default: `matrix.toml` in this or a parent folder]
    #[arg(long, short, env = "E2E_MATRIX_MATRIX", value_name = "FILE")]
    pub(super) matrix: Option<PathBuf>,
    /// The provider that the cell would run on [default: from the matrix file, or `auto`]
    #[arg(long, env = "E2E_MATRIX_PROVIDER", value_name = "PROVIDER")]
    pub(super) provider: Option<Provider>,
    #[command(flatten)]
    pub(super) look: LookOptions,
}

/// What `gc` takes.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch that is given or not"
)]
pub(super) struct GarbageOptions {
    /// Lists what would be deleted, without deleting it
    #[arg(long, env = "E2E_MATRIX_GC_DRY_RUN")]
    pub(super) dry_run: bool,
    /// Also deletes what runs have kept on purpose
    #[arg(long, env = "E2E_MATRIX_GC_KEPT")]
    pub(super) kept: bool,
    /// Also deletes what runs have kept on purpose, and images and archives that later runs would reuse
    #[arg(long, env = "E2E_MATRIX_GC_ALL")]
    pub(super) all: bool,
    /// Ignores runs that were alive within this time, such as `2h`; at most 3650 days
    #[arg(long, env = "E2E_MATRIX_GC_OLDER_THAN", value_name = "DURATION", value_parser = age)]
    pub(super) older_than: Option<Duration>,
    /// Prints a JSON array with one object per resource
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) look: LookOptions,
}

/// What `run` takes.
#[derive(Debug, Args)]
pub(super) struct RunOptions {
    #[command(flatten)]
    pub(super) select: SelectOptions,
    #[command(flatten)]
    pub(super) again: AgainOptions,
    /// The provider that cells run on [default: from the matrix file, or `auto`]
    #[arg(long, env = "E2E_MATRIX_PROVIDER", value_name = "PROVIDER")]
    pub(super) provider: Option<Provider>,
    #[command(flatten)]
    pub(super) place: PlaceOptions,
    /// How many cells run at once: 1 to 10000, or `auto` [default: from the matrix file, or `auto`]
    #[arg(long, short, env = "E2E_MATRIX_JOBS", value_name = "N", value_parser = jobs)]
    pub(super) jobs: Option<Jobs>,
    #[command(flatten)]
    pub(super) course: CourseOptions,
    /// The folder for runs [default: `target/e2e-matrix` next to the matrix file]
    #[arg(long, short, env = "E2E_MATRIX_OUT", value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Also writes the JUnit XML to this file
    #[arg(long, env = "E2E_MATRIX_JUNIT", value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Also writes the Markdown summary to this file
    #[arg(long, env = "E2E_MATRIX_SUMMARY", value_name = "FILE")]
    pub(super) summary: Option<PathBuf>,
    /// Changes the deadline of a phase, such as `readiness=180s`, at most 24h; can be repeated
    #[arg(
        long,
        env = "E2E_MATRIX_TIMEOUT",
        value_name = "PHASE=DURATION",
        value_delimiter = ','
    )]
    pub(super) timeout: Vec<PhaseTimeout>,
    /// The exact name of the cluster, if a single cell is selected
    #[arg(long, env = "E2E_MATRIX_CLUSTER_NAME", value_name = "NAME")]
    pub(super) cluster_name: Option<String>,
    /// The start of each cluster's name [default: from the matrix file, or `plexd-e2e`]
    #[arg(long, env = "E2E_MATRIX_PREFIX", value_name = "PREFIX")]
    pub(super) prefix: Option<String>,
    /// How to treat a selection without cells
    #[arg(
        long,
        env = "E2E_MATRIX_NO_CELLS",
        value_name = "OUTCOME",
        default_value = "fail"
    )]
    pub(super) no_cells: NoCells,
    /// Holds the run in a phase until a signal comes, for tests of the runner
    #[arg(long, env = "E2E_MATRIX_HOLD", value_name = "PHASE", value_parser = phase, hide = true)]
    pub(super) hold: Option<Phase>,
    #[command(flatten)]
    pub(super) look: LookOptions,
    /// Shows each phase
    #[arg(long, short, env = "E2E_MATRIX_VERBOSE")]
    pub(super) verbose: bool,
}

/// A provider's name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Provider {
    /// kind if Docker answers and `kind` is on the PATH, otherwise local
    Auto,
    /// Real clusters
    Kind,
    /// Plain processes on this machine
    Local,
    /// An existing cluster: one namespace per cell, one cell at a time
    Existing,
}

impl From<Provider> for ProviderChoice {
    fn from(provider: Provider) -> Self {
        match provider {
            Provider::Auto => Self::Auto,
            Provider::Kind => Self::Kind,
            Provider::Local => Self::Local,
            Provider::Existing => Self::Existing,
        }
    }
}

/// How to treat a selection without cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum NoCells {
    /// Exit code 4
    Fail,
    /// Exit code 0
    Pass,
}

fn jobs(text: &str) -> Result<Jobs, String> {
    if text == "auto" {
        return Ok(Jobs::Auto);
    }
    let jobs = text.parse().ok().and_then(Jobs::exactly);
    jobs.ok_or_else(|| format!("jobs are `auto` or a number from 1 to {}", Jobs::MOST))
}

fn age(text: &str) -> Result<Duration, DurationError> {
    parse_duration(text, &AGES)
}

fn phase(name: &str) -> Result<Phase, String> {
    let names = || Phase::ALL.map(Phase::name).join(", ");
    let phase = Phase::ALL.into_iter().find(|phase| phase.name() == name);
    phase.ok_or_else(|| format!("`{name}` is no phase; there are: {}", names()))
}

/// `<phase>=<duration>`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhaseTimeout {
    pub(super) phase: Phase,
    pub(super) timeout: Duration,
}

impl FromStr for PhaseTimeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, duration) = text
            .split_once('=')
            .ok_or("a deadline is `<phase>=<duration>`, such as `readiness=180s`")?;
        let timeout = parse_duration(duration, &DEADLINES)
            .map_err(|error| format!("`{duration}`: {error}"))?;
        Ok(Self {
            phase: phase(name)?,
            timeout,
        })
    }
}
