//! The embedded provider: runs the rendered manifests as processes. A node is a folder, and a pod is a process in a sandbox.
//!
//! There is no Kubernetes, real or imitated. Environment, arguments, mounts, Services and probes have the effect that the manifests
//! specify. Everything else in them is only checked, by the same code that renders them for real clusters.

mod addresses;
mod blueprint;
mod board;
mod cluster;
mod contents;
mod controller;
mod destroy;
mod diagnostics;
mod environment;
mod failure;
mod isolation;
mod judge;
mod kubelet;
mod layout;
mod lives;
mod logs;
mod pod;
mod preflight;
mod probe;
mod scheduling;
mod volumes;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{OnceCell, Semaphore};

use super::{CellPlan, Cluster, ImageNames, Programs, Provider, Survey};
use crate::deadline::Deadline;
use crate::event::{Execution, Failure};
use crate::machine::budget::Need;
use crate::machine::{Ledger, probe as machine};
use crate::manifest::PullPolicy;
use crate::matrix::{Cell, Phase, ProviderChoice};

use cluster::LocalCluster;
use isolation::Isolation;

/// How many additional nodes weigh as much as a cell with one node.
const NODES_PER_SLOT: usize = 8;

/// Runs cells as processes on this machine.
pub struct LocalProvider {
    programs: Programs,
    /// How many processes of all cells may start at once, because a starting process keeps a processor busy.
    starts: Arc<Semaphore>,
    /// Determined once.
    isolation: OnceCell<Arc<Isolation>>,
}

impl LocalProvider {
    /// A provider that starts `programs`.
    pub fn new(programs: Programs) -> Self {
        Self {
            programs,
            starts: Arc::new(Semaphore::new(machine::cpus() * 2)),
            isolation: OnceCell::new(),
        }
    }

    async fn isolation(&self) -> Arc<Isolation> {
        let find = async || Arc::new(Isolation::find(&self.programs.runner).await);
        Arc::clone(self.isolation.get_or_init(find).await)
    }
}

#[async_trait]
impl Provider for LocalProvider {
    fn name(&self) -> &'static str {
        ProviderChoice::Local.name()
    }

    fn execution(&self, phase: Phase) -> Execution {
        match phase {
            Phase::Cluster | Phase::Images => Execution::Simulated,
            Phase::Preflight
            | Phase::Manifests
            | Phase::Readiness
            | Phase::Assertions
            | Phase::RequestBodies
            | Phase::Periodic
            | Phase::Restart
            | Phase::LocalEndpoint
            | Phase::Cleanup => Execution::Run,
        }
    }

    async fn tools(&self) -> Vec<String> {
        vec![format!(
            "e2e-matrix {} (processes of this machine)",
            env!("CARGO_PKG_VERSION")
        )]
    }

    fn images(&self, _cell: &Cell) -> ImageNames {
        // Images are never looked up. Their names show this wherever a manifest is shown.
        ImageNames {
            agent: "plexd:local-process".to_owned(),
            mock: "mock-api:local-process".to_owned(),
            pull: PullPolicy::Never,
        }
    }

    async fn preflight(&self, cells: &[Cell], _deadline: &Deadline) -> Result<Survey, Failure> {
        let isolation = self.isolation().await;
        preflight::examine(&self.programs, &isolation, cells)
    }

    /// Agents mostly wait.
    fn need(&self, cell: &Cell) -> Need {
        let nodes = cell.nodes.get();
        let slots = 1 + (nodes - 1) / NODES_PER_SLOT;
        Need {
            slots,
            slots_when_ready: slots,
            memory: preflight::MEMORY_PER_NODE * nodes as u64,
            inotify: 0,
        }
    }

    async fn cluster(&self, plan: Arc<CellPlan>) -> Arc<dyn Cluster> {
        let programs = Arc::new(self.programs.of(&plan.cell));
        let starts = Arc::clone(&self.starts);
        let isolation = self.isolation().await;
        Arc::new(LocalCluster::new(plan, programs, starts, isolation))
    }

    /// The cells share nothing.
    async fn finish(&self, _ledger: &Ledger, _deadline: &Deadline) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}
