//! The states of all pods of a cell, for everything that waits for them.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::cluster::NodeName;

/// The role of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Mock,
    Agent,
}

impl Role {
    /// The name of its container in reports.
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
    /// It hasn't been started yet.
    Pending,
    /// It is running.
    Running,
    /// It ended and will be restarted.
    BackOff,
    /// It ended too often and won't be restarted.
    CrashLoop,
    /// This machine can't start or probe it, and won't retry.
    Lost,
    /// It was deleted and has ended.
    Gone,
}

impl State {
    /// The name for people, as shown by `kubectl`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::BackOff => "BackOff",
            Self::CrashLoop => "CrashLoopBackOff",
            Self::Lost => "Lost",
            Self::Gone => "Terminated",
        }
    }
}

/// The status of one pod.
#[derive(Clone, Debug)]
pub(super) struct PodStatus {
    pub(super) role: Role,
    pub(super) node: NodeName,
    pub(super) uid: String,
    pub(super) log: PathBuf,
    /// The length of the log when each of its processes started.
    pub(super) starts: Vec<u64>,
    pub(super) created: Timestamp,
    pub(super) state: State,
    pub(super) ready: bool,
    /// How often its process ended unexpectedly or because of a failed probe.
    pub(super) restarts: u32,
    /// Its process id while it is running.
    pub(super) process: Option<u32>,
    /// The last end of its process.
    pub(super) last_end: Option<PodEnd>,
    /// Whether its process has a liveness probe that hasn't run yet.
    pub(super) unprobed: bool,
    /// How often in a row the liveness probe has failed, and its last message; `None` if the last attempt succeeded.
    pub(super) sick: Option<(u32, String)>,
    /// The last problem.
    pub(super) trouble: Option<String>,
    pub(super) events: VecDeque<PodEvent>,
}

/// The end of a pod's process without the pod's deletion.
#[derive(Clone, Debug)]
pub(super) struct PodEnd {
    pub(super) at: Timestamp,
    pub(super) how: String,
}

/// An event of a pod.
#[derive(Clone, Debug)]
pub(super) struct PodEvent {
    pub(super) at: Timestamp,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// How many events of a pod are kept.
const EVENTS: usize = 50;

impl PodStatus {
    /// Whether it won't be restarted.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::CrashLoop | State::Lost)
    }

    /// The source of its log in reports.
    pub(super) fn log_source(&self) -> String {
        format!("{} on {}", self.role.name(), self.node)
    }

    /// Whether it is supposed to run.
    pub(super) fn is_current(&self) -> bool {
        self.state != State::Gone
    }

    /// Adds an event. If there are too many, the oldest one is dropped.
    pub(super) fn note(&mut self, reason: &'static str, message: impl Into<String>) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(PodEvent {
            at: Timestamp::now(),
            reason,
            message: message.into(),
        });
    }

    /// Adds an event about a problem.
    pub(super) fn warn(&mut self, reason: &'static str, message: impl Into<String>) {
        let message = message.into();
        self.trouble = Some(message.clone());
        self.note(reason, message);
    }
}

/// All pods of a cell by name, including deleted ones.
pub(super) type Pods = BTreeMap<String, PodStatus>;

/// The shared states of pods.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(watch::Sender<Pods>);

impl Board {
    /// Adds a new pod.
    pub(super) fn add(&self, pod: &str, status: PodStatus) {
        self.0.send_modify(|pods| {
            pods.insert(pod.to_owned(), status);
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

    /// Reads the current states.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Pods) -> T) -> T {
        at(&self.0.borrow())
    }

    /// Returns as soon as `condition` returns a value.
    pub(super) async fn wait<T>(&self, mut condition: impl FnMut(&Pods) -> Option<T>) -> T {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(value) = condition(&changes.borrow_and_update()) {
                return value;
            }
            // The sender lives as long as this board.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The pods of `role` that are supposed to run.
pub(super) fn current(pods: &Pods, role: Role) -> impl Iterator<Item = (&String, &PodStatus)> {
    pods.iter()
        .filter(move |(_, status)| status.role == role && status.is_current())
}
