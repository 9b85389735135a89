//! The options of `merge`.

use clap::Args;

use super::{Color, CopyOptions, Place};

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
    /// When to use colour
    #[arg(
        long,
        env = "E2E_MATRIX_COLOR",
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub(in crate::cli) color: Color,
}
