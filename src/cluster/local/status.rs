//! The statuses of a cell's pods, with notifications about changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::pod_config::PodConfig;
use crate::excerpt::{LogSource, Writer};

/// The role of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Mock,
    Agent,
}

impl Role {
    /// The name of the role's container in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mock => "mock-api",
            Self::Agent => "plexd",
        }
    }
}

/// The state of a pod's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The process hasn't started yet.
    Pending,
    /// The process is running.
    Running,
    /// The process ended and will be restarted.
    BackOff,
    /// The process ended too many times and won't be restarted.
    CrashLoop,
    /// This machine can't start or probe the process, and it won't be restarted.
    RunError,
    /// The pod was deleted, and the process has ended.
    Terminated,
}

impl State {
    /// The name that `kubectl` shows.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::BackOff => "BackOff",
            Self::CrashLoop => "CrashLoopBackOff",
            Self::RunError => "RunContainerError",
            Self::Terminated => "Terminated",
        }
    }
}

/// The status of a pod.
#[derive(Clone)]
pub(super) struct PodStatus {
    pub(super) pod: Arc<PodConfig>,
    /// Cancelling this token deletes the pod.
    pub(super) deletion: CancellationToken,
    /// The length of the log at the start of each of the pod's processes.
    pub(super) log_offsets: Vec<u64>,
    pub(super) created: Timestamp,
    pub(super) state: State,
    pub(super) ready: bool,
    /// How many times its process ended unexpectedly or because of a failed probe.
    pub(super) restarts: u32,
    /// The id of its process while it is running.
    pub(super) pid: Option<u32>,
    pub(super) last_termination: Option<Termination>,
    pub(super) liveness: Liveness,
    /// The message of the last warning, until the pod is ready.
    pub(super) warning: Option<String>,
    pub(super) events: VecDeque<PodEvent>,
}

/// The end of a process whose pod was not deleted.
#[derive(Clone, Debug)]
pub(super) struct Termination {
    pub(super) at: Timestamp,
    pub(super) reason: String,
    /// Whether the process was killed because of a failed probe.
    pub(super) by_probe: bool,
}

/// The last result of the liveness probe of a pod's current process.
#[derive(Clone, Debug)]
pub(super) enum Liveness {
    /// The probe hasn't run yet.
    Unknown,
    /// The probe succeeded, or the pod has none.
    Success,
    /// The probe has failed `count` times in a row, most recently for this reason.
    Failure { count: u32, reason: String },
}

/// An event of a pod.
#[derive(Clone, Debug)]
pub(super) struct PodEvent {
    pub(super) at: Timestamp,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// How many events are kept per pod.
const EVENT_LIMIT: usize = 50;

impl PodStatus {
    /// The status of a new pod, which is deleted by cancelling `deletion`.
    pub(super) fn new(pod: &Arc<PodConfig>, deletion: CancellationToken) -> Self {
        let mut status = Self {
            deletion,
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
            pod: Arc::clone(pod),
        };
        for ignored in &pod.ignored {
            status.record("Ignored", ignored);
        }
        status
    }

    /// Whether the pod has failed permanently.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, State::CrashLoop | State::RunError)
    }

    /// The source of the pod's log.
    pub(super) fn log_source(&self) -> LogSource {
        LogSource {
            writer: match self.pod.role {
                Role::Mock => Writer::Mock,
                Role::Agent => Writer::Agent,
            },
            node: self.pod.node.to_string(),
        }
    }

    /// Whether the pod still exists: it hasn't been deleted, or its process hasn't ended yet.
    pub(super) fn is_current(&self) -> bool {
        self.state != State::Terminated
    }

    /// Records that the pod can receive traffic.
    pub(super) fn become_ready(&mut self) {
        self.ready = true;
        self.warning = None;
        self.record("Ready", "can receive traffic");
    }

    /// Changes the state to `state`, in which no process runs.
    pub(super) fn stop(&mut self, state: State) {
        self.state = state;
        self.ready = false;
        self.pid = None;
    }

    /// Records an event. If there are too many, the oldest one is dropped.
    pub(super) fn record(&mut self, reason: &'static str, message: impl Into<String>) {
        if self.events.len() == EVENT_LIMIT {
            self.events.pop_front();
        }
        self.events.push_back(PodEvent {
            at: Timestamp::now(),
            reason,
            message: message.into(),
        });
    }

    /// Records an event about a problem.
    pub(super) fn warn(&mut self, reason: &'static str, message: String) {
        self.warning = Some(message.clone());
        self.record(reason, message);
    }

    /// Records an event about a problem, unless it repeats the last one: a probe that fails every second would displace
    /// all other events.
    pub(super) fn warn_once(&mut self, reason: &'static str, message: String) {
        if self.warning.as_ref() != Some(&message) {
            self.warn(reason, message);
        }
    }
}

/// All pods of a cell by name, including deleted ones.
pub(super) type Pods = BTreeMap<String, PodStatus>;

/// Stores the statuses of pods.
#[derive(Default)]
pub(super) struct StatusManager(watch::Sender<Pods>);

impl StatusManager {
    /// Adds a new pod.
    pub(super) fn add(&self, status: PodStatus) {
        self.0.send_modify(|pods| {
            pods.insert(status.pod.name.clone(), status);
        });
    }

    /// Updates a pod's status.
    pub(super) fn update(&self, pod: &str, change: impl FnOnce(&mut PodStatus)) {
        self.0.send_modify(|pods| {
            if let Some(status) = pods.get_mut(pod) {
                change(status);
            }
        });
    }

    /// Reads the current statuses.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Pods) -> T) -> T {
        read(&self.0.borrow())
    }

    /// Waits until `condition` returns a value.
    pub(super) async fn wait_for<T>(&self, mut condition: impl FnMut(&Pods) -> Option<T>) -> T {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(value) = condition(&changes.borrow_and_update()) {
                return value;
            }
            // This fails only if the sender was dropped, but `self` owns the sender.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The agents that have not been deleted.
pub(super) fn agents(pods: &Pods) -> impl Iterator<Item = &PodStatus> {
    current(pods, Role::Agent)
}

/// The mock, if it was started and not deleted.
pub(super) fn mock(pods: &Pods) -> Option<&PodStatus> {
    current(pods, Role::Mock).next()
}

fn current(pods: &Pods, role: Role) -> impl Iterator<Item = &PodStatus> {
    pods.values()
        .filter(move |status| status.pod.role == role && status.is_current())
}
