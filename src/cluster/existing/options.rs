//! What the provider is told.

use std::path::PathBuf;

use crate::machine::StateFolder;
use crate::matrix::{Existing, Images};

/// Everything that holds for all cells of a run.
#[derive(Clone, Debug)]
pub struct ExistingOptions {
    /// `[existing]`.
    pub existing: Existing,
    /// `[images]`.
    pub images: Images,
    /// The folder of the matrix file, to which paths are relative.
    pub base: PathBuf,
    /// Where ledgers are: by them it is known which namespaces are of dead runs.
    pub state: StateFolder,
}
