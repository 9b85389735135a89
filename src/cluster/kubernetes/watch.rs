//! The watched state of a cluster: watches keep copies of the relevant objects and notify waiting tasks of changes.

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

/// The copies of the watched objects. They stop changing when the watches are cancelled.
pub(crate) struct View {
    pods: Store<Pod>,
    system_pods: Store<Pod>,
    nodes: Store<Node>,
    daemon_sets: Store<DaemonSet>,
    deployments: Store<Deployment>,
    events: Store<Event>,
    workloads: Workloads,
    notifier: Arc<Notifier>,
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
    /// The watches that the API server rejects or whose initial list fails, by URL path.
    pub(crate) failed_watches: BTreeMap<String, FailedWatch>,
    /// Why the API server doesn't respond; `None` if it does.
    pub(crate) unreachable: Option<String>,
}

/// Why one watch fails, regardless of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedWatch {
    /// The HTTP status, if the API server responded.
    pub(crate) code: Option<u16>,
    /// The message of the API server, or of the error.
    pub(crate) message: String,
}

/// Notifies waiting tasks of changes, and keeps the errors of watches.
struct Notifier {
    changes: watch::Sender<u64>,
    errors: Mutex<WatchErrors>,
}

/// The current errors of watches.
#[derive(Clone, Default)]
struct WatchErrors {
    failed_watches: BTreeMap<String, FailedWatch>,
    unreachable: Option<String>,
}

impl WatchErrors {
    /// Clears the errors that are over, because the watch on `what` received something from the API server.
    fn clear(&mut self, what: &str) {
        self.failed_watches.remove(what);
        self.unreachable = None;
    }

    /// Records that the watch on `what` failed. A rejection or a failed list lasts until this watch receives something.
    /// Any other error lasts until any watch receives something, because a broken stream may resume silently.
    fn record(&mut self, what: &str, error: &watcher::Error) {
        use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
        if matches!(
            error,
            WatchFailed(
                kube::Error::ReadEvents(_) | kube::Error::Service(_) | kube::Error::HyperError(_)
            )
        ) {
            // The stream ended or was idle for too long. It is opened again, and only a failure to do so is a problem.
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
            self.failed_watches
                .insert(what.to_owned(), FailedWatch { code, message });
        } else {
            self.unreachable = Some(chain(error));
        }
    }
}

impl View {
    /// Starts to watch the cell's namespace and the nodes, and with `system` also the cluster's core pods.
    pub(crate) fn start(
        client: &Client,
        namespace: &str,
        workloads: Workloads,
        system: bool,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let notifier = Arc::new(Notifier {
            changes: watch::Sender::new(0),
            errors: Mutex::default(),
        });
        let spawner = Spawner {
            tasks,
            stop,
            notifier: &notifier,
        };
        Self {
            pods: spawner.watch(Api::namespaced(client.clone(), namespace)),
            system_pods: if system {
                spawner.watch(Api::namespaced(client.clone(), "kube-system"))
            } else {
                reflector::store().0
            },
            nodes: spawner.watch(Api::all(client.clone())),
            daemon_sets: spawner.watch(Api::namespaced(client.clone(), namespace)),
            deployments: spawner.watch(Api::namespaced(client.clone(), namespace)),
            events: spawner.watch(Api::namespaced(client.clone(), namespace)),
            workloads,
            notifier,
        }
    }

    /// A receiver that is notified of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.notifier.changes.subscribe()
    }

    /// The current state.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let errors = self.notifier.errors();
        Snapshot {
            pods: self.pods.state(),
            system_pods: self.system_pods.state(),
            nodes: self.nodes.state(),
            daemon_sets: self.daemon_sets.state(),
            deployments: self.deployments.state(),
            events: self.events.state(),
            workloads: self.workloads.clone(),
            failed_watches: errors.failed_watches,
            unreachable: errors.unreachable,
        }
    }
}

struct Spawner<'s> {
    tasks: &'s TaskTracker,
    stop: &'s CancellationToken,
    notifier: &'s Arc<Notifier>,
}

impl Spawner<'_> {
    fn watch<K>(&self, api: Api<K>) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let (store, writer) = reflector::store();
        let what = api.resource_url().to_owned();
        let notifier = Arc::clone(self.notifier);
        let watching = async move {
            let changes = watcher(api, watcher::Config::default()).default_backoff();
            let mut changes = Box::pin(reflector::reflector(writer, changes));
            while let Some(change) = changes.next().await {
                notifier.notify(&what, &change);
            }
        };
        let watching = self.stop.clone().run_until_cancelled_owned(watching);
        self.tasks.spawn(watching.in_current_span());
        store
    }
}

impl Notifier {
    fn errors(&self) -> WatchErrors {
        let errors = self.errors.lock();
        errors.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn notify<K>(&self, what: &str, change: &watcher::Result<watcher::Event<K>>) {
        let errors = self.errors.lock();
        let mut errors = errors.unwrap_or_else(PoisonError::into_inner);
        match change {
            // This only announces a list request, which may fail again.
            Ok(watcher::Event::Init) => return,
            Ok(_) => errors.clear(what),
            Err(error) => errors.record(what, error),
        }
        drop(errors);
        self.changes.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn notifier() -> Notifier {
        Notifier {
            changes: watch::Sender::new(0),
            errors: Mutex::default(),
        }
    }

    fn forbidden() -> watcher::Error {
        let status = Status::failure("pods is forbidden", "Forbidden").with_code(403);
        watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn traffic_on_other_watches_does_not_hide_a_rejected_one() {
        let notifier = notifier();
        notifier.notify::<Pod>("pods", &Err(forbidden()));
        notifier.notify::<Node>("nodes", &Ok(watcher::Event::InitDone));
        // The next attempt begins and hasn't succeeded yet.
        notifier.notify::<Pod>("pods", &Ok(watcher::Event::Init));
        let errors = notifier.errors();
        assert_eq!(errors.unreachable, None);
        let rejected = FailedWatch {
            code: Some(403),
            message: "pods is forbidden".to_owned(),
        };
        assert_eq!(
            errors.failed_watches,
            BTreeMap::from([("pods".to_owned(), rejected)])
        );
        notifier.notify::<Pod>("pods", &Ok(watcher::Event::InitDone));
        assert!(notifier.errors().failed_watches.is_empty());
    }

    /// An idle watch on a kind without bookmarks, such as events, times out even if the API server works.
    #[test]
    fn the_end_of_a_stream_is_a_problem_only_if_it_cannot_be_opened_again() {
        let notifier = notifier();
        let ended = || kube::Error::ReadEvents(std::io::ErrorKind::TimedOut.into());
        notifier.notify::<Event>("events", &Err(watcher::Error::WatchFailed(ended())));
        assert_eq!(notifier.errors().unreachable, None);
        notifier.notify::<Event>("events", &Err(watcher::Error::WatchStartFailed(ended())));
        assert!(notifier.errors().unreachable.is_some());
    }

    #[test]
    fn a_broken_stream_counts_as_no_response_until_any_watch_receives_something() {
        let notifier = notifier();
        notifier.notify::<Pod>("pods", &Err(watcher::Error::NoResourceVersion));
        assert!(notifier.errors().unreachable.is_some());
        notifier.notify::<Node>("nodes", &Ok(watcher::Event::InitDone));
        assert!(notifier.errors().unreachable.is_none());
    }
}
