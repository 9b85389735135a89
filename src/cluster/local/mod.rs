//! The local provider: runs the rendered manifests as processes on this machine. A node is a folder, and a pod is a
//! process in a sandbox.
//!
//! There is no Kubernetes API. Environment, arguments, mounts, Services and probes have the effect that the manifests
//! specify. Everything else in the manifests is only validated, by the code that also renders them for real clusters.

mod addresses;
mod cluster;
mod contents;
mod controller;
mod diagnostics;
mod environment;
mod health;
mod launcher;
mod layout;
mod logs;
mod pod_config;
mod pod_worker;
mod preflight;
mod prober;
mod readiness;
mod resources;
mod scheduling;
mod status;
mod volumes;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::{CellPlan, Cluster, ImageNames, Programs, Provider, Survey};
use crate::deadline::Deadline;
use crate::event::{Execution, Failure, Symptom};
use crate::machine::budget::Need;
use crate::manifest::PullPolicy;
use crate::matrix::{Cell, Phase, ProviderChoice};

use cluster::LocalCluster;
use controller::Controller;
use launcher::Launcher;

/// A cell with one node takes one slot. This many additional nodes take another slot.
const NODES_PER_SLOT: usize = 8;

/// Runs cells as processes on this machine.
pub struct LocalProvider {
    programs: Programs,
    /// Created when it is first needed.
    launcher: OnceCell<Arc<Launcher>>,
}

impl LocalProvider {
    /// A provider that starts `programs`.
    pub fn new(programs: Programs) -> Self {
        Self {
            programs,
            launcher: OnceCell::new(),
        }
    }

    async fn launcher(&self) -> &Arc<Launcher> {
        let detect = async || Arc::new(Launcher::detect(&self.programs.runner).await);
        self.launcher.get_or_init(detect).await
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
            "e2e-matrix {} (processes on this machine)",
            env!("CARGO_PKG_VERSION")
        )]
    }

    fn images(&self, _cell: &Cell) -> ImageNames {
        // Images are not used. The names make this obvious wherever a manifest is shown.
        ImageNames {
            agent: "plexd:local-process".to_owned(),
            mock: "mock-api:local-process".to_owned(),
            pull: PullPolicy::Never,
        }
    }

    async fn preflight(&self, cells: &[Cell], deadline: &Deadline) -> Result<Survey, Failure> {
        let launcher = deadline.run(self.launcher()).await.map_err(|late| {
            let message = format!("checking whether this machine can isolate pods {late}");
            Failure::new(Symptom::ProcessFailed, message)
        })?;
        preflight::examine(&self.programs, launcher.refusal(), cells)
    }

    /// Agents mostly wait, so several nodes share a slot.
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
        let programs = self.programs.of(&plan.cell);
        let launcher = Arc::clone(self.launcher().await);
        let controller = Controller::new(plan, programs, launcher);
        Arc::new(LocalCluster::new(controller))
    }
}
