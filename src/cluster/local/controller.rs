//! The work of a cluster's controllers for one cell: accepting objects, running their pods, replacing deleted ones.
//!
//! It continues independently of the phases' futures, which may be dropped at any point.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use super::addresses::Addresses;
use super::blueprint::Drafter;
use super::board::{Board, PodStatus, Pods};
use super::contents::Contents;
use super::isolation::Isolation;
use super::judge::Verdict;
use super::kubelet::Kubelet;
use super::layout::Layout;
use super::{logs, scheduling};
use crate::cluster::{CellPlan, NodeName, Programs, StepLog};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::excerpt::Log;

/// The controllers of one cell.
pub(super) struct Controller {
    pub(super) plan: Arc<CellPlan>,
    pub(super) programs: Arc<Programs>,
    pub(super) nodes: Vec<NodeName>,
    pub(super) layout: Layout,
    pub(super) kubelet: Kubelet,
    pub(super) steps: StepLog,
    contents: Contents,
    /// Set when the objects have been accepted.
    addresses: OnceLock<Addresses>,
}

impl Controller {
    pub(super) fn new(
        plan: Arc<CellPlan>,
        programs: Arc<Programs>,
        starts: Arc<Semaphore>,
        isolation: Arc<Isolation>,
    ) -> Self {
        let layout = Layout::new(plan.runtime.clone());
        Self {
            nodes: plan.cluster.nodes(plan.cell.nodes.get()),
            contents: Contents::of(&plan.rendered),
            steps: StepLog::new(&plan.clock),
            kubelet: Kubelet::new(
                plan.clock.clone(),
                starts,
                plan.mark.clone(),
                plan.cell.variant.expect.restarts(),
                layout.clone(),
                isolation,
            ),
            addresses: OnceLock::new(),
            programs,
            layout,
            plan,
        }
    }

    pub(super) fn board(&self) -> &Board {
        &self.kubelet.board
    }

    /// Accepts the objects: each pod needs a node and a valid specification. Then starts the mock, and an agent on each
    /// node as soon as the mock is ready.
    pub(super) fn apply(self: &Arc<Self>) -> Result<(), Failure> {
        self.place_every_agent()?;
        let addresses = Addresses::take(&self.plan.rendered, &self.nodes)?;
        let addresses = self.addresses.get_or_init(|| addresses);
        let drafter = self.drafter(addresses);
        let mock = drafter.mock(self.control_plane())?;
        // Only a dry run: an invalid specification has to fail here and not later in a task.
        drafter.agent(self.control_plane())?;
        let name = mock.name.clone();
        self.kubelet.start(mock);
        let controller = Arc::clone(self);
        self.kubelet.control(async move {
            let is_ready = |pods: &Pods| pods.get(&name)?.ready.then_some(());
            let ready = controller.board().wait(is_ready);
            controller.steps.measure("mock ready", ready).await;
            for node in &controller.nodes {
                controller.start_agent(node);
            }
        });
        Ok(())
    }

    /// The address of the mock; `None` before the objects were accepted.
    pub(super) fn mock_address(&self) -> Option<SocketAddr> {
        Some(self.addresses.get()?.test())
    }

    /// Deletes a pod. The next one starts when its process has ended, even if nothing waits for it.
    pub(super) fn replace(self: &Arc<Self>, pod: String, node: NodeName) {
        let controller = Arc::clone(self);
        self.kubelet.control(async move {
            controller.kubelet.delete(&pod);
            let board = controller.board();
            let gone = |pods: &Pods| {
                let is_current = pods.get(&pod).is_some_and(PodStatus::is_current);
                (!is_current).then_some(())
            };
            board.wait(gone).await;
            controller.start_agent(&node);
        });
    }

    /// Waits for a verdict on the pods; when `deadline` passes, `late` gives the failure.
    pub(super) async fn until(
        &self,
        deadline: &Deadline,
        verdict: impl Fn(&Pods) -> Verdict,
        late: impl FnOnce(&Pods) -> Failure,
    ) -> Result<Vec<Evidence>, Failure> {
        let waited = deadline.run(self.board().wait(verdict)).await;
        waited.unwrap_or_else(|timed_out| {
            let mut failure = self.board().look(late);
            failure.message = format!("{}; {timed_out}", failure.message);
            Err(failure)
        })
    }

    /// A pod's log.
    pub(super) async fn log(&self, status: &PodStatus) -> io::Result<Log> {
        let (path, starts) = (status.log.clone(), status.starts.clone());
        let processes = logs::processes(path, starts, &self.plan.mask).await?;
        Ok(Log::new(status.log_source(), processes))
    }

    fn place_every_agent(&self) -> Result<(), Failure> {
        let template = &self.plan.rendered.agent().daemon_set.spec.template;
        let spec = template.spec.clone().unwrap_or_default();
        let refusing = scheduling::refusing(&spec, &self.nodes);
        let Some((node, reason)) = refusing.first() else {
            return Ok(());
        };
        let message = format!("the agent does not go to {node}: {reason}");
        Err(Failure::new(Symptom::Unschedulable, message)
            .with_remedy("tolerate every taint, and select every node, in the DaemonSet"))
    }

    fn control_plane(&self) -> &NodeName {
        &self.nodes[0]
    }

    fn drafter<'a>(&'a self, addresses: &'a Addresses) -> Drafter<'a> {
        Drafter {
            rendered: &self.plan.rendered,
            programs: &self.programs,
            layout: &self.layout,
            contents: &self.contents,
            addresses,
        }
    }

    fn start_agent(&self, node: &NodeName) {
        let Some(addresses) = self.addresses.get() else {
            return;
        };
        match self.drafter(addresses).agent(node) {
            Ok(agent) => self.kubelet.start(agent),
            // An identical pod was described successfully before. The missing agent will be noticed when agents are
            // counted.
            Err(failure) => tracing::error!(%node, %failure, "failed to describe an agent's pod"),
        }
    }
}
