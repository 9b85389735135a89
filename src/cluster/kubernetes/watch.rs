//! What is seen of a cluster: watches that keep a copy of the objects that matter, and wake whoever waits for a change.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pods::Workloads;

/// The copies. They stop changing when the tasks behind them are cancelled.
pub(crate) struct View {
    pods: Store<Pod>,
    system_pods: Store<Pod>,
    nodes: Store<Node>,
    daemon_sets: Store<DaemonSet>,
    deployments: Store<Deployment>,
    events: Store<Event>,
    workloads: Workloads,
    bell: Arc<Bell>,
}

/// A moment of the view.
#[cfg_attr(test, derive(Default))]
pub(crate) struct Snapshot {
    /// The cell's pods.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// The pods that make the cluster what it is.
    pub(crate) system_pods: Vec<Arc<Pod>>,
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The cell's.
    pub(crate) daemon_sets: Vec<Arc<DaemonSet>>,
    /// The cell's.
    pub(crate) deployments: Vec<Arc<Deployment>>,
    /// The cell's.
    pub(crate) events: Vec<Arc<Event>>,
    /// The cell's agent and mock, and which pods are theirs.
    pub(crate) workloads: Workloads,
    /// Why no watch gets an answer, where none does.
    pub(crate) unreachable: Option<String>,
}

/// Rung at every change.
struct Bell {
    changes: watch::Sender<u64>,
    unreachable: Mutex<Option<String>>,
}

impl View {
    /// Begins to watch the cell's namespace and what all cells have; the pods that make the cluster what it is only where `system`.
    pub(crate) fn start(
        client: &Client,
        namespace: &str,
        workloads: Workloads,
        system: bool,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let bell = Arc::new(Bell {
            changes: watch::Sender::new(0),
            unreachable: Mutex::default(),
        });
        let spawn = Spawn {
            tasks,
            stop,
            bell: &bell,
        };
        Self {
            pods: spawn.follow(Api::namespaced(client.clone(), namespace)),
            system_pods: if system {
                spawn.follow(Api::namespaced(client.clone(), "kube-system"))
            } else {
                reflector::store().0
            },
            nodes: spawn.follow(Api::all(client.clone())),
            daemon_sets: spawn.follow(Api::namespaced(client.clone(), namespace)),
            deployments: spawn.follow(Api::namespaced(client.clone(), namespace)),
            events: spawn.follow(Api::namespaced(client.clone(), namespace)),
            workloads,
            bell,
        }
    }

    /// A receiver that sees every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.bell.changes.subscribe()
    }

    /// How it is now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let unreachable = self
            .bell
            .unreachable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            pods: self.pods.state(),
            system_pods: self.system_pods.state(),
            nodes: self.nodes.state(),
            daemon_sets: self.daemon_sets.state(),
            deployments: self.deployments.state(),
            events: self.events.state(),
            workloads: self.workloads.clone(),
            unreachable: unreachable.clone(),
        }
    }
}

struct Spawn<'s> {
    tasks: &'s TaskTracker,
    stop: &'s CancellationToken,
    bell: &'s Arc<Bell>,
}

impl Spawn<'_> {
    fn follow<K>(&self, api: Api<K>) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let (store, writer) = reflector::store();
        let bell = Arc::clone(self.bell);
        let watching = async move {
            let changes = watcher(api, watcher::Config::default()).default_backoff();
            let mut changes = Box::pin(reflector::reflector(writer, changes));
            while let Some(change) = changes.next().await {
                bell.ring(change.err().map(|error| error.to_string()));
            }
        };
        self.tasks
            .spawn(self.stop.clone().run_until_cancelled_owned(watching));
        store
    }
}

impl Bell {
    fn ring(&self, trouble: Option<String>) {
        *self
            .unreachable
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = trouble;
        self.changes.send_modify(|count| *count += 1);
    }
}
