//! What is decided for a cell before anything of it is made.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::ClusterName;
use crate::deadline::RunClock;
use crate::machine::Ledger;
use crate::manifest::Rendered;
use crate::matrix::{Cell, Checks, Keep, PhaseSettings};
use crate::secret::Mask;

/// Everything that a provider needs to know of a cell.
pub struct CellPlan {
    /// The cell.
    pub cell: Cell,
    /// The name of its cluster.
    pub cluster: ClusterName,
    /// The namespace of everything that is applied.
    pub namespace: String,
    /// The objects, in the order in which they are applied.
    pub rendered: Arc<Rendered>,
    /// The phases' settings.
    pub phases: PhaseSettings,
    /// What the user adds to the suite.
    pub checks: Arc<Checks>,
    /// The facts about the run that the user's programs get.
    pub run: RunSurroundings,
    /// Which attempt at the cell it is for, from 1.
    pub attempt: u32,
    /// The attempt's folder in the run's folder: kept.
    pub output: PathBuf,
    /// The same folder, as the run's reports name it.
    pub output_name: String,
    /// The cell's private folder: removed at clean-up.
    pub runtime: PathBuf,
    /// Where resources are written down before they are made.
    pub ledger: Arc<Ledger>,
    /// What deadlines are made of.
    pub clock: RunClock,
    /// Hides the run's secrets in what is kept of the cell.
    pub mask: Mask,
    /// The value that marks the cell's processes.
    pub mark: String,
    /// Whether the cell's place stays after its end.
    pub keep: Keep,
    /// The port that the mock is forwarded to, held from the first bind.
    pub listener: Mutex<Option<TcpListener>>,
}

impl CellPlan {
    /// Holds the port until the provider takes it.
    pub fn hold_listener(&self, listener: TcpListener) {
        let mut held = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(listener);
    }

    /// Takes the listener. There is one, and it is taken once.
    pub fn take_listener(&self) -> Option<TcpListener> {
        self.listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// `text` as a shell takes it for one word.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The facts about the run that the user's programs get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSurroundings {
    /// The run's id.
    pub id: String,
    /// The provider's name.
    pub provider: &'static str,
    /// The matrix file's folder, in which they run.
    pub folder: PathBuf,
}

impl Programs {
    /// Those of `cell`.
    pub(crate) fn of(&self, cell: &Cell) -> Self {
        let mut programs = self.clone();
        if let Some(own) = &cell.variant.program {
            let binary = own.binary.as_ref();
            programs.agent = binary.map(|path| self.base.join(path));
        }
        programs
    }
}

/// The programs of agent and mock, for the provider that starts them as processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The runner's own binary, which also is the reference agent and the mock.
    pub runner: PathBuf,
    /// The matrix file's folder, to which paths in cells are relative.
    pub base: PathBuf,
    /// `[images.agent] binary`; the reference agent where there is none.
    pub agent: Option<PathBuf>,
    /// `[images.mock] binary`.
    pub mock: Option<PathBuf>,
}
