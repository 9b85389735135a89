//! The options that split a selection over machines.

use std::path::PathBuf;

use clap::Args;

use crate::matrix::Shard;

/// Which part of the selection.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct ShardOptions {
    /// Runs one part of the selected cells, such as `2/5` for the second of five, of at most 10000; `merge` combines the parts
    #[arg(long, env = "E2E_MATRIX_SHARD", value_name = "I/N")]
    pub(in crate::cli) shard: Option<Shard>,
    /// How long cells took, to balance shards: a `timings.json` of an earlier run, the same on all machines
    #[arg(long, env = "E2E_MATRIX_HISTORY", value_name = "FILE")]
    pub(in crate::cli) history: Option<PathBuf>,
}
