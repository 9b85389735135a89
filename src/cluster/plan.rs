//! Everything that is decided for a cell before anything is created.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ClusterName;
use crate::deadline::RunClock;
use crate::event::{Failure, Symptom};
use crate::machine::{HostResource, Ledger};
use crate::manifest::Rendered;
use crate::matrix::{Cell, Checks, Keep, PhaseSettings};
use crate::secret::Mask;

/// Everything that a provider needs to know about a cell.
pub struct CellPlan {
    /// The cell.
    pub cell: Cell,
    /// The name of its cluster.
    pub cluster: ClusterName,
    /// The namespace for all objects.
    pub namespace: String,
    /// The objects, in the order in which they are applied.
    pub rendered: Arc<Rendered>,
    /// The phases' settings.
    pub phases: PhaseSettings,
    /// The user's additional checks.
    pub checks: Arc<Checks>,
    /// Facts about the run for the user's programs.
    pub run: RunSurroundings,
    /// The number of the attempt, starting at 1.
    pub attempt: u32,
    /// The attempt's folder inside the run's folder. It remains after the attempt.
    pub output: PathBuf,
    /// The same folder, as named in the run's reports.
    pub output_name: String,
    /// The cell's private folder. Cleanup deletes it.
    pub runtime: PathBuf,
    /// The ledger, which records each resource before it is created.
    pub ledger: Arc<Ledger>,
    /// The clock for deadlines.
    pub clock: RunClock,
    /// Masks the run's secrets in everything that is kept.
    pub mask: Mask,
    /// The value that marks the cell's processes.
    pub mark: String,
    /// When to keep the cell's cluster.
    pub keep: Keep,
    /// The listener on the local port that will be forwarded to the mock. It is open from the moment when the port is
    /// reserved.
    pub listener: Mutex<Option<TcpListener>>,
}

impl CellPlan {
    /// The plan for another cluster, called `name`, that is created in addition to the cell's own cluster or instead of
    /// it. `purpose` becomes part of the new plan's folder name and process mark.
    ///
    /// # Errors
    /// If `name` isn't a valid name.
    pub(crate) fn in_cluster(&self, name: &str, purpose: &str) -> Result<Self, Failure> {
        let cluster = ClusterName::exactly(name)
            .map_err(|error| Failure::new(Symptom::RunnerBug, error.to_string()))?;
        let mut runtime = self.runtime.clone().into_os_string();
        runtime.push(format!("-{purpose}"));
        Ok(Self {
            cluster,
            runtime: runtime.into(),
            mark: format!("{}-{purpose}", self.mark),
            ..self.without_listener()
        })
    }

    /// A copy of the plan without the listener, because only one plan can own it.
    pub(crate) fn without_listener(&self) -> Self {
        Self {
            cell: self.cell.clone(),
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            rendered: Arc::clone(&self.rendered),
            phases: self.phases.clone(),
            checks: Arc::clone(&self.checks),
            run: self.run.clone(),
            attempt: self.attempt,
            output: self.output.clone(),
            output_name: self.output_name.clone(),
            runtime: self.runtime.clone(),
            ledger: Arc::clone(&self.ledger),
            clock: self.clock.clone(),
            mask: self.mask.clone(),
            mark: self.mark.clone(),
            keep: self.keep,
            listener: Mutex::default(),
        }
    }

    /// The cell's resources on this machine: its private folder and its processes.
    pub(crate) fn on_host(&self) -> [HostResource; 2] {
        let (path, mark) = (self.runtime.clone(), self.mark.clone());
        [
            HostResource::Folder { path },
            HostResource::Processes { mark },
        ]
    }

    /// Stores the listener for the provider.
    pub fn hold_listener(&self, listener: TcpListener) {
        *self.listener.lock() = Some(listener);
    }

    /// Takes the listener. Only the first call returns it.
    pub fn take_listener(&self) -> Option<TcpListener> {
        self.listener.lock().take()
    }
}

/// Facts about the run for the user's programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSurroundings {
    /// The run's id.
    pub id: String,
    /// The provider's name.
    pub provider: &'static str,
    /// The folder of the matrix file, which is the programs' working directory.
    pub folder: PathBuf,
}

impl Programs {
    /// The programs of `cell`.
    pub(crate) fn of(&self, cell: &Cell) -> Self {
        let mut programs = self.clone();
        if let Some(own) = &cell.variant.program {
            let binary = own.binary.as_ref();
            programs.agent = binary.map(|path| self.base.join(path));
        }
        programs
    }
}

/// The programs of the agent and the mock, for the provider that starts them as processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The runner's own binary, which contains the reference agent and the mock.
    pub runner: PathBuf,
    /// The folder of the matrix file, to which paths in cells are relative.
    pub base: PathBuf,
    /// `[images.agent] binary`; `None` for the reference agent.
    pub agent: Option<PathBuf>,
    /// `[images.mock] binary`; `None` for the reference mock.
    pub mock: Option<PathBuf>,
}
