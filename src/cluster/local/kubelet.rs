//! Starts and deletes the pods of one cell. Each pod runs in a task that doesn't depend on a future of the suite.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::isolation::Isolation;
use super::layout::Layout;
use super::pod_config::PodConfig;
use super::status::{PodStatus, Role, State, StatusManager};
use super::{logs, pod_worker};
use crate::cluster::CellPlan;
use crate::deadline::Deadline;

/// The pods of a cell and what they share. Clones share one state.
#[derive(Clone)]
pub(super) struct Kubelet {
    pub(super) plan: Arc<CellPlan>,
    pub(super) statuses: StatusManager,
    pub(super) starts: Arc<Semaphore>,
    pub(super) isolation: Arc<Isolation>,
    layout: Layout,
    agents: Workers,
    mock: Workers,
}

/// The tasks of all pods with one role.
#[derive(Clone, Default)]
struct Workers {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Kubelet {
    pub(super) fn new(
        plan: Arc<CellPlan>,
        layout: Layout,
        starts: Arc<Semaphore>,
        isolation: Arc<Isolation>,
    ) -> Self {
        Self {
            plan,
            statuses: StatusManager::default(),
            starts,
            isolation,
            layout,
            agents: Workers::default(),
            mock: Workers::default(),
        }
    }

    /// Starts a pod. It runs until it is deleted, even if nothing waits for it.
    pub(super) fn start(&self, pod: PodConfig) {
        let workers = match pod.role {
            Role::Agent => &self.agents,
            Role::Mock => &self.mock,
        };
        let deletion = workers.stop.child_token();
        self.statuses.add(pending(&pod, deletion.clone()));
        let kubelet = self.clone();
        let running = async move {
            pod_worker::run(&kubelet, &pod, deletion).await;
            kubelet.remove_folder(pod).await;
        };
        workers.tasks.spawn(running.in_current_span());
    }

    /// Runs `work` as one of the agents' tasks, until all of them are stopped.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.agents.stop.clone();
        let work = stop.run_until_cancelled_owned(work);
        self.agents.tasks.spawn(work.in_current_span());
    }

    /// Terminates all pods, and returns when their processes have ended. Nothing can be started afterwards.
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

    /// Removes the pod's own folder, so that the next pod's empty volumes are empty.
    async fn remove_folder(&self, pod: PodConfig) {
        let layout = self.layout.clone();
        let name = pod.name.clone();
        let removed = logs::blocking(move || layout.remove_pod(&pod.node, &pod.name)).await;
        if let Err(error) = removed {
            tracing::debug!(pod = name, %error, "failed to remove a pod's folder");
        }
    }
}

/// The status of a new pod.
fn pending(pod: &PodConfig, deletion: CancellationToken) -> PodStatus {
    let mut status = PodStatus {
        name: pod.name.clone(),
        role: pod.role,
        node: pod.node.clone(),
        uid: pod.uid.clone(),
        deletion,
        log: pod.log.clone(),
        log_offsets: Vec::new(),
        created: Timestamp::now(),
        state: State::Pending,
        ready: false,
        restarts: 0,
        pid: None,
        last_termination: None,
        liveness: pod.probes.initial_liveness(),
        warning: None,
        events: VecDeque::new(),
    };
    for ignored in &pod.ignored {
        status.record("Ignored", ignored);
    }
    status
}
