//! Starts and deletes the pods of one cell. Each pod is a task that doesn't depend on a future of the suite.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::blueprint::Blueprint;
use super::board::{Board, PodStatus, Role, State};
use super::isolation::Isolation;
use super::layout::Layout;
use super::{logs, pod};
use crate::deadline::{Deadline, RunClock};

/// What the pods of a cell share. Clones share one state.
#[derive(Clone)]
pub(super) struct Kubelet {
    pub(super) clock: RunClock,
    pub(super) board: Board,
    pub(super) starts: Arc<Semaphore>,
    /// The mark to find the cell's processes by.
    pub(super) mark: String,
    /// How many ends of an agent's process the matrix file allows.
    pub(super) allowed_restarts: u32,
    pub(super) isolation: Arc<Isolation>,
    layout: Layout,
    tasks: Arc<Roles<TaskTracker>>,
    all: Arc<Roles<CancellationToken>>,
    pods: Arc<Mutex<BTreeMap<String, CancellationToken>>>,
}

/// One for each role: agents end before the mock, to which they still report.
#[derive(Default)]
struct Roles<T> {
    agents: T,
    mock: T,
}

impl<T> Roles<T> {
    fn of(&self, role: Role) -> &T {
        match role {
            Role::Agent => &self.agents,
            Role::Mock => &self.mock,
        }
    }
}

impl Kubelet {
    pub(super) fn new(
        clock: RunClock,
        starts: Arc<Semaphore>,
        mark: String,
        allowed_restarts: u32,
        layout: Layout,
        isolation: Arc<Isolation>,
    ) -> Self {
        Self {
            clock,
            board: Board::default(),
            starts,
            mark,
            allowed_restarts,
            isolation,
            layout,
            tasks: Arc::default(),
            all: Arc::default(),
            pods: Arc::default(),
        }
    }

    /// Starts a pod. It runs until it is deleted, even if nothing waits for it.
    pub(super) fn start(&self, blueprint: Blueprint) {
        let role = blueprint.role;
        let deleted = self.all.of(role).child_token();
        self.pods().insert(blueprint.name.clone(), deleted.clone());
        self.board.add(&blueprint.name, status_of(&blueprint));
        let kubelet = self.clone();
        let running = async move {
            pod::run(&kubelet, &blueprint, deleted).await;
            kubelet.remove_folder(&blueprint).await;
        };
        self.tasks.of(role).spawn(running.in_current_span());
    }

    /// Runs `work` together with the agents' tasks, until all of them are stopped.
    pub(super) fn control(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.all.agents.clone();
        let work = stop.run_until_cancelled_owned(work);
        self.tasks.agents.spawn(work.in_current_span());
    }

    /// Asks a pod to end. Its state shows when it is gone.
    pub(super) fn delete(&self, pod: &str) {
        if let Some(deleted) = self.pods().remove(pod) {
            deleted.cancel();
        }
    }

    /// Ends all pods, the agents first, and returns when all have ended. Nothing can be started afterwards.
    pub(super) async fn shut_down(&self, deadline: &Deadline) {
        for role in [Role::Agent, Role::Mock] {
            self.all.of(role).cancel();
            let tasks = self.tasks.of(role);
            tasks.close();
            if deadline.run(tasks.wait()).await.is_err() {
                tracing::debug!(?role, "pods did not end in time");
            }
        }
    }

    /// Deletes the pod's own folder, so that the next pod's empty volumes are empty.
    async fn remove_folder(&self, blueprint: &Blueprint) {
        let layout = self.layout.clone();
        let (node, name) = (blueprint.node.clone(), blueprint.name.clone());
        let removed = logs::blocking(move || layout.remove_pod(&node, &name)).await;
        if let Err(error) = removed {
            tracing::debug!(pod = blueprint.name, %error, "failed to remove a pod's folder");
        }
    }

    fn pods(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, CancellationToken>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status_of(blueprint: &Blueprint) -> PodStatus {
    let mut status = PodStatus {
        role: blueprint.role,
        node: blueprint.node.clone(),
        uid: blueprint.uid.clone(),
        log: blueprint.log.clone(),
        starts: Vec::new(),
        created: Timestamp::now(),
        state: State::Pending,
        ready: false,
        restarts: 0,
        process: None,
        last_end: None,
        unprobed: blueprint.probes.has_liveness(),
        sick: None,
        trouble: None,
        events: VecDeque::new(),
    };
    for left_out in &blueprint.left_out {
        status.note("Ignored", left_out);
    }
    status
}
