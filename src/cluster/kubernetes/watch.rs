//! The watched state of a cluster: watches that keep copies of the relevant objects and notify waiting tasks of
//! changes.

use std::collections::BTreeMap;
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
use tracing::Instrument;

use super::pods::Workloads;
use crate::error::chain;

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

/// The state of the view at one moment.
#[cfg_attr(test, derive(Default))]
pub(crate) struct Snapshot {
    /// The cell's pods.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// The cluster's core pods.
    pub(crate) system_pods: Vec<Arc<Pod>>,
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The `DaemonSet` objects of the cell.
    pub(crate) daemon_sets: Vec<Arc<DaemonSet>>,
    /// The cell's Deployments.
    pub(crate) deployments: Vec<Arc<Deployment>>,
    /// The events in the cell's namespace.
    pub(crate) events: Vec<Arc<Event>>,
    /// The cell's agent and mock, to determine the owners of pods.
    pub(crate) workloads: Workloads,
    /// Watches that the API server rejects or whose list fails, by kind.
    pub(crate) refused: BTreeMap<String, Refused>,
    /// Why no watch gets a response, if none does.
    pub(crate) unreachable: Option<String>,
}

/// Why one watch doesn't work, independent of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The HTTP status, if the API server responded.
    pub(crate) code: Option<u16>,
    /// The message of the server, or of the connection.
    pub(crate) message: String,
}

/// Notifies waiting tasks of changes.
struct Bell {
    changes: watch::Sender<u64>,
    troubles: Mutex<Troubles>,
}

/// The problems of watches.
#[derive(Clone, Default)]
struct Troubles {
    refused: BTreeMap<String, Refused>,
    unreachable: Option<String>,
}

impl Troubles {
    /// The watch on `what` received something from the API server.
    fn end(&mut self, what: &str) {
        self.refused.remove(what);
        self.unreachable = None;
    }

    /// The watch on `what` failed. A broken stream may resume silently, so traffic on any watch ends that state. A
    /// rejection or a failed list lasts until this watch itself receives something.
    fn begin(&mut self, what: &str, error: &watcher::Error) {
        use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
        if matches!(
            error,
            WatchFailed(
                kube::Error::ReadEvents(_) | kube::Error::Service(_) | kube::Error::HyperError(_)
            )
        ) {
            // The stream ended, or nothing happened for a long time: it is opened again, and only if that fails, there
            // is a problem.
            return;
        }
        let status = match error {
            WatchError(status)
            | InitialListFailed(kube::Error::Api(status))
            | WatchStartFailed(kube::Error::Api(status))
            | WatchFailed(kube::Error::Api(status)) => Some(status.as_ref()),
            _ => None,
        };
        let code = status.map(|status| status.code);
        if matches!(code, Some(401..=405))
            || (code.is_some() && matches!(error, InitialListFailed(_)))
        {
            let message = status.map_or_else(|| chain(error), |status| status.message.clone());
            self.refused
                .insert(what.to_owned(), Refused { code, message });
        } else {
            self.unreachable = Some(chain(error));
        }
    }
}

impl View {
    /// Starts to watch the cell's namespace and the nodes; the cluster's core pods only if `system` is set.
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
            troubles: Mutex::default(),
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

    /// A receiver that is notified of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.bell.changes.subscribe()
    }

    /// The current state.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let troubles = self.bell.troubles();
        Snapshot {
            pods: self.pods.state(),
            system_pods: self.system_pods.state(),
            nodes: self.nodes.state(),
            daemon_sets: self.daemon_sets.state(),
            deployments: self.deployments.state(),
            events: self.events.state(),
            workloads: self.workloads.clone(),
            refused: troubles.refused,
            unreachable: troubles.unreachable,
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
        let what = api.resource_url().to_owned();
        let bell = Arc::clone(self.bell);
        let watching = async move {
            let changes = watcher(api, watcher::Config::default()).default_backoff();
            let mut changes = Box::pin(reflector::reflector(writer, changes));
            while let Some(change) = changes.next().await {
                bell.ring(&what, &change);
            }
        };
        let watching = self.stop.clone().run_until_cancelled_owned(watching);
        self.tasks.spawn(watching.in_current_span());
        store
    }
}

impl Bell {
    fn troubles(&self) -> Troubles {
        let troubles = self.troubles.lock();
        troubles.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ring<K>(&self, what: &str, change: &watcher::Result<watcher::Event<K>>) {
        let troubles = self.troubles.lock();
        let mut troubles = troubles.unwrap_or_else(PoisonError::into_inner);
        match change {
            // This only announces a list, which may fail again.
            Ok(watcher::Event::Init) => return,
            Ok(_) => troubles.end(what),
            Err(error) => troubles.begin(what, error),
        }
        drop(troubles);
        self.changes.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn bell() -> Bell {
        Bell {
            changes: watch::Sender::new(0),
            troubles: Mutex::default(),
        }
    }

    fn forbidden() -> watcher::Error {
        let status = Status::failure("pods is forbidden", "Forbidden").with_code(403);
        watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn traffic_on_other_watches_does_not_hide_a_rejected_one() {
        let bell = bell();
        bell.ring::<Pod>("pods", &Err(forbidden()));
        bell.ring::<Node>("nodes", &Ok(watcher::Event::InitDone));
        // The next attempt begins and hasn't succeeded yet.
        bell.ring::<Pod>("pods", &Ok(watcher::Event::Init));
        let troubles = bell.troubles();
        assert_eq!(troubles.unreachable, None);
        let refused = Refused {
            code: Some(403),
            message: "pods is forbidden".to_owned(),
        };
        assert_eq!(
            troubles.refused,
            BTreeMap::from([("pods".to_owned(), refused)])
        );
        bell.ring::<Pod>("pods", &Ok(watcher::Event::InitDone));
        assert!(bell.troubles().refused.is_empty());
    }

    /// An idle watch on a kind without bookmarks, such as events, times out. That says nothing about the API server.
    #[test]
    fn the_end_of_a_stream_is_no_problem_until_it_cannot_be_opened_again() {
        let bell = bell();
        let ended = || kube::Error::ReadEvents(std::io::ErrorKind::TimedOut.into());
        bell.ring::<Event>("events", &Err(watcher::Error::WatchFailed(ended())));
        assert_eq!(bell.troubles().unreachable, None);
        bell.ring::<Event>("events", &Err(watcher::Error::WatchStartFailed(ended())));
        assert!(bell.troubles().unreachable.is_some());
    }

    #[test]
    fn a_broken_stream_counts_as_no_response_until_any_watch_receives_something() {
        let bell = bell();
        bell.ring::<Pod>("pods", &Err(watcher::Error::NoResourceVersion));
        assert!(bell.troubles().unreachable.is_some());
        bell.ring::<Node>("nodes", &Ok(watcher::Event::InitDone));
        assert!(bell.troubles().unreachable.is_none());
    }
}
