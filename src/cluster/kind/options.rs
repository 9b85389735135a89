//! What the provider is told.

use std::path::PathBuf;

use crate::deadline::RunClock;
use crate::machine::StateFolder;
use crate::matrix::{Images, Prefix};

/// Everything that holds for all clusters of a run.
#[derive(Clone, Debug)]
pub struct KindOptions {
    /// Where locks, archives and ledgers are.
    pub state: StateFolder,
    /// The runner's own binary: the content of reference images.
    pub runner: PathBuf,
    /// `[images]`.
    pub images: Images,
    /// The matrix file's folder, to which paths are relative.
    pub base: PathBuf,
    /// Whether kind's file carries the settings that make a cluster usable sooner.
    pub tuned: bool,
    /// Whether cells that differ only in config get the same cluster, one after another.
    pub reuse: bool,
    /// The start of every cluster's name.
    pub prefix: Prefix,
    /// What deadlines are made of.
    pub clock: RunClock,
}
