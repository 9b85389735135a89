//! What a cluster's controllers do, for one cell: take objects in, run the pods that they describe, replace deleted ones.
//!
//! Its work goes on behind the phases' futures, which may be dropped at any point.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use super::announce::{Listener, Listeners};
use super::blueprint::{Blueprint, Drafter};
use super::board::{Board, PodStatus, Pods, Role, current};
use super::contents::Contents;
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
    /// Which of the mock's container ports is which listener; known once the objects were accepted.
    mock_ports: OnceLock<BTreeMap<u16, Listener>>,
}

impl Controller {
    pub(super) fn new(
        plan: Arc<CellPlan>,
        programs: Arc<Programs>,
        starts: Arc<Semaphore>,
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
            ),
            mock_ports: OnceLock::new(),
            programs,
            layout,
            plan,
        }
    }

    pub(super) fn board(&self) -> &Board {
        &self.kubelet.board
    }

    /// Takes the objects in: every pod with a node to go to and a description that can be carried out.
    /// Then starts the mock, and an agent on every node as soon as the mock listens.
    pub(super) fn apply(self: &Arc<Self>) -> Result<(), Failure> {
        self.place_every_agent()?;
        let (mock, ports) = self.drafter().mock(self.control_plane())?;
        self.mock_ports.get_or_init(|| ports);
        // On paper only: what can't be described must fail here, and not behind the phases.
        self.agent(self.control_plane(), None)?;
        let name = mock.name.clone();
        self.kubelet.start(mock);
        let controller = Arc::clone(self);
        self.kubelet.control(async move {
            let listening = controller.mock_listens(&name);
            let listeners = controller.steps.measure("mock listens", listening).await;
            for node in &controller.nodes {
                controller.start_agent(node, &listeners);
            }
        });
        Ok(())
    }

    /// Deletes a pod; the next one starts when its process has ended, whether or not anybody still waits.
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
            let listeners = board.look(|pods| {
                let mock = current(pods, Role::Mock).next();
                mock.map(|(_, mock)| mock.listeners.clone())
            });
            controller.start_agent(&node, &listeners.unwrap_or_default());
        });
    }

    /// Waits for a verdict on the pods; when `deadline` passes, the failure is what `late` makes of them.
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

    fn drafter(&self) -> Drafter<'_> {
        Drafter {
            rendered: &self.plan.rendered,
            programs: &self.programs,
            layout: &self.layout,
            contents: &self.contents,
        }
    }

    /// The agent's pod for `node`; without the mock's listeners it is good for nothing but being looked at.
    fn agent(&self, node: &NodeName, listeners: Option<&Listeners>) -> Result<Blueprint, Failure> {
        let drafter = self.drafter();
        let ports = self.mock_ports.get().cloned().unwrap_or_default();
        drafter.agent(node, drafter.services(&ports, listeners))
    }

    fn start_agent(&self, node: &NodeName, listeners: &Listeners) {
        match self.agent(node, Some(listeners)) {
            Ok(agent) => self.kubelet.start(agent),
            // One like it was described before; the node's agent will be missed where agents are counted.
            Err(failure) => tracing::error!(%node, %failure, "failed to describe an agent's pod"),
        }
    }

    async fn mock_listens(&self, pod: &str) -> Listeners {
        let expected = self.mock_ports.get().map_or(0, BTreeMap::len);
        let listening = |pods: &Pods| {
            let listeners = &pods.get(pod)?.listeners;
            (listeners.len() >= expected).then(|| listeners.clone())
        };
        self.board().wait(listening).await
    }
}
