//! The options of `merge`.

use clap::Args;

use super::{CopyOptions, LookOptions, Place};

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
