//! The work of a cluster's controllers for one cell: accepting objects, creating their pods, replacing deleted ones.
//!
//! It doesn't depend on the phases' futures, which may be dropped at any point.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use super::isolation::Isolation;
use super::kubelet::Kubelet;
use super::layout::Layout;
use super::pod_config::PodBuilder;
use super::readiness::Readiness;
use super::status::{PodStatus, Pods, StatusManager};
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
    /// Set when the objects have been accepted.
    pod_builder: OnceLock<PodBuilder>,
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
            steps: StepLog::new(&plan.clock),
            kubelet: Kubelet::new(Arc::clone(&plan), layout.clone(), starts, isolation),
            pod_builder: OnceLock::new(),
            programs,
            layout,
            plan,
        }
    }

    pub(super) fn statuses(&self) -> &StatusManager {
        &self.kubelet.statuses
    }

    /// Accepts the objects, if each pod has a node and a valid specification. Then starts the mock, and an agent on
    /// each node as soon as the mock is ready.
    pub(super) fn apply(self: &Arc<Self>) -> Result<(), Failure> {
        self.check_scheduling()?;
        let (rendered, programs) = (&self.plan.rendered, &self.programs);
        let builder = PodBuilder::new(
            Arc::clone(rendered),
            Arc::clone(programs),
            self.layout.clone(),
            &self.nodes,
        )?;
        let builder = self.pod_builder.get_or_init(|| builder);
        let mock = builder.mock(self.control_plane())?;
        // A dry run, so that an invalid specification fails here and not later in a task.
        builder.agent(self.control_plane())?;
        let name = mock.name.clone();
        self.kubelet.start(mock);
        let controller = Arc::clone(self);
        self.kubelet.spawn(async move {
            let is_ready = |pods: &Pods| pods.get(&name)?.ready.then_some(());
            let ready = controller.statuses().wait_for(is_ready);
            controller.steps.measure("mock ready", ready).await;
            for node in &controller.nodes {
                controller.start_agent(node);
            }
        });
        Ok(())
    }

    /// The address of the mock's test interface; `None` before the objects were accepted.
    pub(super) fn mock_address(&self) -> Option<SocketAddr> {
        Some(self.pod_builder.get()?.addresses.test_interface())
    }

    /// Deletes an agent's pod. A new one starts when the process has ended, even if nothing waits for it.
    pub(super) fn replace(self: &Arc<Self>, agent: PodStatus) {
        let controller = Arc::clone(self);
        self.kubelet.spawn(async move {
            agent.deletion.cancel();
            let is_gone = |pods: &Pods| {
                let is_current = pods.get(&agent.name).is_some_and(PodStatus::is_current);
                (!is_current).then_some(())
            };
            controller.statuses().wait_for(is_gone).await;
            controller.start_agent(&agent.node);
        });
    }

    /// Waits, as the step `name`, until `condition` is met or can't be met. If `deadline` passes before that, fails
    /// with `late`.
    pub(super) async fn wait_for(
        &self,
        name: &str,
        deadline: &Deadline,
        condition: impl Fn(&Pods) -> Readiness,
        late: impl FnOnce(&Pods) -> Failure,
    ) -> Result<Vec<Evidence>, Failure> {
        let waiting = deadline.run(self.statuses().wait_for(condition));
        let waited = self.steps.measure(name, waiting).await;
        waited.unwrap_or_else(|timed_out| {
            let mut failure = self.statuses().read(late);
            failure.message = format!("{}; {timed_out}", failure.message);
            Err(failure)
        })
    }

    /// A pod's log.
    pub(super) async fn log(&self, status: &PodStatus) -> io::Result<Log> {
        let (path, offsets) = (status.log.clone(), status.log_offsets.clone());
        let processes = logs::processes(path, offsets, &self.plan.mask).await?;
        Ok(Log::new(status.log_source(), processes))
    }

    fn check_scheduling(&self) -> Result<(), Failure> {
        let template = &self.plan.rendered.agent().daemon_set.spec.template;
        let spec = template.spec.clone().unwrap_or_default();
        let Some((node, reason)) = scheduling::unschedulable(&spec, &self.nodes) else {
            return Ok(());
        };
        let message = format!("the agent can't be scheduled on {node}: {reason}");
        Err(Failure::new(Symptom::Unschedulable, message).with_remedy(
            "tolerate the taints of all nodes, and select all nodes, in the DaemonSet",
        ))
    }

    fn control_plane(&self) -> &NodeName {
        &self.nodes[0]
    }

    fn start_agent(&self, node: &NodeName) {
        let Some(builder) = self.pod_builder.get() else {
            return;
        };
        match builder.agent(node) {
            Ok(agent) => self.kubelet.start(agent),
            // The dry run in `apply` succeeded with the same template. If this fails anyway, the suite notices the
            // missing agent.
            Err(failure) => tracing::error!(%node, %failure, "failed to configure an agent's pod"),
        }
    }
}
