//! The options of the provider.

use std::path::PathBuf;

use crate::machine::StateFolder;
use crate::matrix::{Existing, Images};

/// Options for all cells of a run.
#[derive(Clone, Debug)]
pub struct ExistingOptions {
    /// `[existing]`.
    pub existing: Existing,
    /// `[images]`.
    pub images: Images,
    /// The folder of the matrix file, to which paths are relative.
    pub base: PathBuf,
    /// The folder of ledgers, which identify the namespaces of dead runs.
    pub state: StateFolder,
}
