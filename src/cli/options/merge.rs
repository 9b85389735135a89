//! The options of `merge`.

use clap::Args;

use super::{CopyOptions, LookOptions, Place};

/// What `merge` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct MergeOptions {
    /// The runs: their ids or folders; or folders that hold them, such as one that cells as tests have written
    #[arg(value_name = "RUN", required = true)]
    pub(in crate::cli) runs: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    #[command(flatten)]
    pub(in crate::cli) copies: CopyOptions,
    #[command(flatten)]
    pub(in crate::cli) look: LookOptions,
}
