//! Which cells are selected: options of `run`, `list` and `prepare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::matrix::Shard;

/// Which cells are selected.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(in crate::cli) struct SelectOptions {
    /// Select cells, such as `k8s-1.30` or `k8s >= 1.33 and not fast`
    ///
    /// Can be repeated; a cell is selected if any of the filters matches. See docs/filters.md for the language.
    #[arg(long, short, env = "E2E_MATRIX_FILTER", value_name = "EXPR")]
    pub(in crate::cli) filter: Vec<String>,
    /// The matrix file
    ///
    /// Defaults to `matrix.toml` in the current folder or the nearest parent folder that has one.
    #[arg(long, short, env = "E2E_MATRIX_MATRIX", value_name = "FILE")]
    pub(in crate::cli) matrix: Option<PathBuf>,
    /// Run one part of the selected cells, such as `2/5`
    ///
    /// `2/5` is the second of five parts; at most 10000 are possible. `merge` combines the runs of all parts.
    #[arg(long, env = "E2E_MATRIX_SHARD", value_name = "I/N")]
    pub(in crate::cli) shard: Option<Shard>,
    /// Balance shards by the durations in the `timings.json` of an earlier run
    ///
    /// All shards need the same file.
    #[arg(
        long,
        env = "E2E_MATRIX_TIMINGS",
        value_name = "FILE",
        hide_short_help = true
    )]
    pub(in crate::cli) timings: Option<PathBuf>,
    /// How to treat a run for which no cells are selected
    #[arg(
        long,
        env = "E2E_MATRIX_NO_CELLS",
        value_name = "OUTCOME",
        default_value = "fail",
        hide_short_help = true
    )]
    pub(in crate::cli) no_cells: NoCells,
}

/// How to treat a run for which no cells are selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum NoCells {
    /// As a failure: exit code 4
    #[default]
    Fail,
    /// As a success: exit code 0
    Pass,
}

/// Which cells of an earlier run to run again.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(in crate::cli) struct RerunOptions {
    /// Rerun the cells that did not pass in the latest run, or in RUN
    ///
    /// These are all cells that failed, ended with an error, were interrupted or skipped, or never ran.
    #[arg(
        long,
        env = "E2E_MATRIX_RERUN_FAILED",
        value_name = "RUN",
        num_args = 0..=1,
        default_missing_value = "latest",
        conflicts_with_all = ["filter", "shard", "resume"]
    )]
    pub(in crate::cli) rerun_failed: Option<String>,
    /// Resume the latest run, or RUN, if it was killed or interrupted
    ///
    /// The run continues in its own folder. Cells that already have a verdict keep it.
    #[arg(
        long,
        env = "E2E_MATRIX_RESUME",
        value_name = "RUN",
        num_args = 0..=1,
        default_missing_value = "latest",
        conflicts_with_all = ["filter", "shard", "repeat", "until_failure"]
    )]
    pub(in crate::cli) resume: Option<String>,
}
