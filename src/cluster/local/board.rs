//! How every pod of a cell is, for everyone who waits for one of them.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::cluster::NodeName;

/// What a pod is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Mock,
    Agent,
}

impl Role {
    /// What its container is called in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mock => "mock-api",
            Self::Agent => "plexd",
        }
    }
}

/// What a pod's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not been started yet.
    Pending,
    /// It runs.
    Running,
    /// It ended, and will be started again.
    BackOff,
    /// It ended too often, and will not be started again.
    CrashLoop,
    /// This machine can't start or probe it, and will not try again.
    Lost,
    /// It was deleted and has ended.
    Gone,
}

impl State {
    /// The word for people, as `kubectl` has it.
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

/// How one pod is.
#[derive(Clone, Debug)]
pub(super) struct PodStatus {
    pub(super) role: Role,
    pub(super) node: NodeName,
    pub(super) uid: String,
    pub(super) log: PathBuf,
    /// How long the log was when each of its processes started.
    pub(super) starts: Vec<u64>,
    pub(super) created: Timestamp,
    pub(super) state: State,
    pub(super) ready: bool,
    /// How often its process ended by itself, or was ended because a probe failed.
    pub(super) restarts: u32,
    /// Its process id, while it runs.
    pub(super) process: Option<u32>,
    /// How its process ended for the last time.
    pub(super) last_end: Option<PodEnd>,
    /// Whether its process has a liveness probe that has not run yet.
    pub(super) unprobed: bool,
    /// How often in a row the liveness probe failed, and what it said last; none if its last call succeeded.
    pub(super) sick: Option<(u32, String)>,
    /// The last thing that went wrong.
    pub(super) trouble: Option<String>,
    pub(super) events: VecDeque<PodEvent>,
}

/// The end of a pod's process that the pod's deletion did not cause.
#[derive(Clone, Debug)]
pub(super) struct PodEnd {
    pub(super) at: Timestamp,
    pub(super) how: String,
}

/// Something that happened to a pod.
#[derive(Clone, Debug)]
pub(super) struct PodEvent {
    pub(super) at: Timestamp,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The events that are kept of a pod.
const EVENTS: usize = 50;

impl PodStatus {
    /// Whether it was given up.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::CrashLoop | State::Lost)
    }

    /// What its log is called in reports.
    pub(super) fn log_source(&self) -> String {
        format!("{} on {}", self.role.name(), self.node)
    }

    /// Whether it is still meant to run.
    pub(super) fn is_current(&self) -> bool {
        self.state != State::Gone
    }

    /// Notes an event; the oldest goes where there are too many.
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

    /// Notes something that went wrong.
    pub(super) fn warn(&mut self, reason: &'static str, message: impl Into<String>) {
        let message = message.into();
        self.trouble = Some(message.clone());
        self.note(reason, message);
    }
}

/// All pods of a cell by name, those that are gone too.
pub(super) type Pods = BTreeMap<String, PodStatus>;

/// The one place where pods' states are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(watch::Sender<Pods>);

impl Board {
    /// Puts a new pod on the board.
    pub(super) fn add(&self, pod: &str, status: PodStatus) {
        self.0.send_modify(|pods| {
            pods.insert(pod.to_owned(), status);
        });
    }

    /// Changes a pod's status.
    pub(super) fn update(&self, pod: &str, change: impl FnOnce(&mut PodStatus)) {
        self.0.send_modify(|pods| {
            if let Some(status) = pods.get_mut(pod) {
                change(status);
            }
        });
    }

    /// Looks at the pods as they are now.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Pods) -> T) -> T {
        at(&self.0.borrow())
    }

    /// Returns as soon as `condition` gives something.
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

/// The pods of `role` that are meant to run.
pub(super) fn current(pods: &Pods, role: Role) -> impl Iterator<Item = (&String, &PodStatus)> {
    pods.iter()
        .filter(move |(_, status)| status.role == role && status.is_current())
}
