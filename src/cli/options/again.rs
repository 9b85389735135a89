//! The options that go on from a run that is there already.

use clap::Args;

/// What was not green, or not over.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct AgainOptions {
    /// Runs the cells again that were not green in a run, or that it did not come to [default RUN: the latest]
    #[arg(
        long,
        env = "E2E_MATRIX_RERUN_FAILED",
        value_name = "RUN",
        num_args = 0..=1,
        default_missing_value = "latest",
        conflicts_with_all = ["filter", "shard", "resume"]
    )]
    pub(in crate::cli) rerun_failed: Option<String>,
    /// Goes on with a run that was killed or interrupted, in its folder: cells that have a verdict keep it [default RUN: the latest]
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
