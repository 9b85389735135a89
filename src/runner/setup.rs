//! What commands need in addition to the matrix file, before a run exists.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::provider::choose;
use super::{Renderer, SessionError};
use crate::cluster::Provider;
use crate::deadline::{Deadline, RunClock};
use crate::machine::StateFolder;
use crate::matrix::{Cell, Matrix, Phase};
use crate::secret::{Mask, Secret, hide_in_log};

/// Selected cells, and what commands need to run, explain or prepare them.
pub struct Workload {
    /// The matrix file, as given. Paths in it are relative to its folder.
    pub path: PathBuf,
    /// The matrix.
    pub matrix: Matrix,
    /// The selected cells.
    pub cells: Vec<Cell>,
    /// The secrets that the matrix file declares.
    pub secrets: Vec<Secret>,
    /// The runner's own binary.
    pub runner: PathBuf,
}

/// A workload with its provider, for which all objects have been rendered and checked.
pub(super) struct Setup {
    /// The matrix file, as given.
    pub(super) path: PathBuf,
    /// The matrix.
    pub(super) matrix: Matrix,
    /// The selected cells.
    pub(super) cells: Vec<Cell>,
    /// The clock for deadlines.
    pub(super) clock: RunClock,
    /// The folder of ledgers and locks.
    pub(super) state: StateFolder,
    /// The provider.
    pub(super) provider: Arc<dyn Provider>,
    /// Why `auto` chose the provider; for the provider `existing`, a description of the cluster.
    pub(super) provider_reason: Option<String>,
    /// Renders the objects of the cells.
    pub(super) renderer: Renderer,
    /// Masks all secrets. From now on, the log masks them, too.
    pub(super) mask: Mask,
}

impl Setup {
    /// Chooses the provider, and reads and checks the manifests.
    pub(super) async fn new(workload: Workload) -> Result<Self, SessionError> {
        hide_in_log(&Mask::new(workload.secrets.iter().cloned()));
        let clock = RunClock::new();
        let state = StateFolder::of_user();
        let (provider, provider_reason) = choose(&workload, &state, &clock).await?;
        let renderer = Renderer::new(&workload, Arc::clone(&provider)).await?;
        let mask = Mask::new(renderer.secrets().into_iter().chain(workload.secrets));
        hide_in_log(&mask);
        Ok(Self {
            path: workload.path,
            matrix: workload.matrix,
            cells: workload.cells,
            clock,
            state,
            provider,
            provider_reason,
            renderer,
            mask,
        })
    }

    /// The deadline for work of `phase` that starts now.
    pub(super) fn deadline(&self, phase: Phase) -> Deadline {
        self.clock.deadline(self.matrix.phases[phase].timeout)
    }
}

/// The default folder for the runs of the matrix file at `matrix`.
pub fn out(matrix: &Path) -> PathBuf {
    base(matrix).join("target/e2e-matrix")
}

/// The folder that paths in the matrix file are relative to.
pub fn base(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}
