//! The options that go on from a run that is there already.

use clap::Args;

/// Running cells of an earlier run again.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct AgainOptions {
    /// Runs the cells again that did not pass or never ran [default RUN: the latest]
    #[arg(
        long,
        env = "E2E_MATRIX_RERUN_FAILED",
        value_name = "RUN",
        num_args = 0..=1,
        default_missing_value = "latest",
        conflicts_with_all = ["filter", "shard", "resume"]
    )]
    pub(in crate::cli) rerun_failed: Option<String>,
    /// Continues a run that was killed or interrupted, in its folder; cells with a verdict keep it [default RUN: the latest]
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
