//! Does the work of a cluster's controllers and kubelets for one cell: accepts objects, runs their pods, and replaces
//! deleted pods.
//!
//! Each pod runs in a task, because the phases' futures may be dropped at any point.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::addresses::Addresses;
use super::launcher::Launcher;
use super::layout::Layout;
use super::pod_config::PodConfig;
use super::readiness::Readiness;
use super::status::{PodStatus, Pods, Role, StatusManager, agents};
use super::{logs, pod_worker, scheduling};
use crate::cluster::{CellPlan, NodeName, Programs, StepLog, host};
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Evidence, Failure, Symptom};
use crate::excerpt::Log;

/// The controllers and kubelets of one cell.
pub(super) struct Controller {
    pub(super) plan: Arc<CellPlan>,
    pub(super) programs: Programs,
    pub(super) launcher: Arc<Launcher>,
    pub(super) nodes: Vec<NodeName>,
    pub(super) layout: Layout,
    pub(super) statuses: StatusManager,
    pub(super) steps: StepLog,
    /// Set when the objects have been accepted.
    pub(super) addresses: OnceLock<Addresses>,
    agents: Workers,
    mock: Workers,
}

/// The tasks of all pods with one role.
#[derive(Default)]
struct Workers {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Controller {
    pub(super) fn new(plan: Arc<CellPlan>, programs: Programs, launcher: Arc<Launcher>) -> Self {
        Self {
            programs,
            launcher,
            nodes: plan.cluster.nodes(plan.cell.nodes.get()),
            layout: Layout {
                root: plan.runtime.clone(),
            },
            statuses: StatusManager::default(),
            steps: StepLog::new(&plan.clock),
            addresses: OnceLock::new(),
            agents: Workers::default(),
            mock: Workers::default(),
            plan,
        }
    }

    /// Accepts the objects if each pod can be scheduled and has a valid specification. Then starts the mock, and when
    /// the mock is ready, an agent on each node.
    pub(super) fn apply(self: &Arc<Self>) -> Result<(), Failure> {
        self.check_scheduling()?;
        let addresses = Addresses::take(&self.plan.rendered, &self.nodes)?;
        let addresses = self.addresses.get_or_init(|| addresses);
        let control_plane = &self.nodes[0];
        let mock = PodConfig::new(self, addresses, Role::Mock, control_plane)?;
        // A dry run, so that an invalid specification fails here and not later in a task.
        PodConfig::new(self, addresses, Role::Agent, control_plane)?;
        let name = mock.name.clone();
        self.start(mock);
        let controller = Arc::clone(self);
        self.spawn(async move {
            let is_ready = |pods: &Pods| pods.get(&name)?.ready.then_some(());
            let ready = controller.statuses.wait_for(is_ready);
            controller.steps.measure("mock ready", ready).await;
            controller.run_daemon_set().await;
        });
        Ok(())
    }

    /// Starts an agent on each node that has none, at first and whenever an agent's pod has been deleted and its
    /// process has ended.
    async fn run_daemon_set(self: &Arc<Self>) {
        while let Some(addresses) = self.addresses.get() {
            for node in self
                .statuses
                .wait_for(|pods| self.nodes_without_agent(pods))
                .await
            {
                match PodConfig::new(self, addresses, Role::Agent, &node) {
                    Ok(agent) => self.start(agent),
                    // The dry run in `apply` succeeded with the same template. If this call fails anyway, the suite
                    // notices that the agent is missing.
                    Err(failure) => {
                        tracing::error!(%node, %failure, "failed to configure an agent's pod");
                        return;
                    }
                }
            }
        }
    }

    /// The nodes without an agent, if there are any.
    fn nodes_without_agent(&self, pods: &Pods) -> Option<Vec<NodeName>> {
        let occupied: HashSet<_> = agents(pods).map(|agent| &agent.pod.node).collect();
        let nodes = self.nodes.iter();
        let free: Vec<_> = nodes
            .filter(|node| !occupied.contains(node))
            .cloned()
            .collect();
        (!free.is_empty()).then_some(free)
    }

    /// Waits, as the step `name`, until `condition` is met or can no longer be met. If `deadline` passes first, fails
    /// with the failure that `late` returns.
    pub(super) async fn wait_for(
        &self,
        name: &str,
        deadline: &Deadline,
        condition: impl Fn(&Pods) -> Readiness,
        late: impl FnOnce(&Pods) -> Failure,
    ) -> Result<Vec<Evidence>, Failure> {
        let waiting = deadline.run(self.statuses.wait_for(condition));
        let waited = self.steps.measure(name, waiting).await;
        waited.unwrap_or_else(|timed_out| {
            let mut failure = self.statuses.read(late);
            failure.message = format!("{}; {timed_out}", failure.message);
            Err(failure)
        })
    }

    /// A pod's log.
    pub(super) async fn log(&self, status: &PodStatus) -> Log {
        let (path, offsets) = (status.pod.log.clone(), status.log_offsets.clone());
        match logs::processes(path, offsets, &self.plan.mask).await {
            Ok(processes) => Log::new(status.log_source(), processes),
            Err(error) => Log::unreadable(status.log_source(), &chain(&error)),
        }
    }

    /// Terminates all pods, and waits until their processes have ended or `deadline` passes. No pod can start
    /// afterwards.
    pub(super) async fn shut_down(&self, deadline: &Deadline) {
        // Agents still report to the mock while they terminate.
        for (role, workers) in [(Role::Agent, &self.agents), (Role::Mock, &self.mock)] {
            workers.stop.cancel();
            workers.tasks.close();
            if deadline.run(workers.tasks.wait()).await.is_err() {
                tracing::debug!(?role, "pods did not end in time");
            }
        }
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

    /// Starts a pod. The pod runs until it is deleted, even if nothing waits for it.
    fn start(self: &Arc<Self>, pod: PodConfig) {
        let workers = match pod.role {
            Role::Agent => &self.agents,
            Role::Mock => &self.mock,
        };
        let deletion = workers.stop.child_token();
        let pod = Arc::new(pod);
        self.statuses.add(PodStatus::new(&pod, deletion.clone()));
        let controller = Arc::clone(self);
        let running = async move {
            pod_worker::run(&controller, &pod, deletion).await;
            let folder = controller.layout.pod(&pod.node, &pod.name);
            let gone = host::delete_folder(&folder).await;
            if !gone.holds {
                tracing::debug!(pod = pod.name, gone.seen, "failed to delete a pod's folder");
            }
        };
        workers.tasks.spawn(running.in_current_span());
    }

    /// Runs `work` as one of the agents' tasks. Shutting down the agents also stops it.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.agents.stop.clone();
        let work = stop.run_until_cancelled_owned(work);
        self.agents.tasks.spawn(work.in_current_span());
    }
}
