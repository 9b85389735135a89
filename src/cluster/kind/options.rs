//! The options of the provider.

use std::path::PathBuf;

use crate::deadline::RunClock;
use crate::machine::StateFolder;
use crate::matrix::{Images, Prefix};

/// Options for all clusters of a run.
#[derive(Clone, Debug)]
pub struct KindOptions {
    /// The folder of locks, archives and ledgers.
    pub state: StateFolder,
    /// The runner's own binary, which is the content of reference images.
    pub runner: PathBuf,
    /// `[images]`.
    pub images: Images,
    /// The matrix file's folder, to which paths are relative.
    pub base: PathBuf,
    /// Whether to use the settings that make a cluster usable sooner.
    pub fast_setup: bool,
    /// Whether cells that differ only in config share a cluster, one after another.
    pub reuse: bool,
    /// Whether cells are skipped if their node image exists neither locally nor in its registry.
    pub skip_missing_images: bool,
    /// The prefix of cluster names.
    pub prefix: Prefix,
    /// The clock for deadlines.
    pub clock: RunClock,
}
