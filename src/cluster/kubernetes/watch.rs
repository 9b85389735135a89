//! The watched state of a cluster: watches keep copies of the relevant objects and notify waiting tasks of changes.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::core::Status;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::Tenant;
use super::health::alive;
use super::pods::{Owner, Workloads};
use crate::error::chain;

/// The copies of the watched objects. They stop changing when the watches are cancelled.
pub(crate) struct View {
    pods: Store<Pod>,
    system_pods: Store<Pod>,
    nodes: Store<Node>,
    daemon_sets: Store<DaemonSet>,
    deployments: Store<Deployment>,
    events: Store<Event>,
    workloads: Arc<Workloads>,
    /// The current errors. A task that waits for a change to any object also subscribes to this channel.
    errors: watch::Sender<WatchErrors>,
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
    /// The workloads of the cell's manifests, to determine the owners of pods.
    pub(crate) workloads: Arc<Workloads>,
    pub(crate) errors: WatchErrors,
}

/// The current errors of watches.
#[derive(Clone, Default)]
pub(crate) struct WatchErrors {
    /// The API server's responses to the watches that it rejects or whose initial list fails, by URL path.
    pub(crate) failed_watches: BTreeMap<String, Status>,
    /// Why the API server doesn't respond; `None` if it does.
    pub(crate) unreachable: Option<String>,
}

impl WatchErrors {
    /// Updates the errors after the watch on `what` has received `change`. Returns whether anything may have changed.
    fn update<K>(&mut self, what: &str, change: &watcher::Result<watcher::Event<K>>) -> bool {
        match change {
            // This event only announces a list request, which may fail again.
            Ok(watcher::Event::Init) => return false,
            Ok(_) => {
                self.failed_watches.remove(what);
                self.unreachable = None;
            }
            Err(error) => self.record(what, error),
        }
        true
    }

    /// Records that the watch on `what` failed. A rejection or a failed list is recorded until this watch receives
    /// something. Any other error is recorded until any watch receives something, because a broken stream may resume
    /// silently.
    fn record(&mut self, what: &str, error: &watcher::Error) {
        use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
        if matches!(
            error,
            WatchFailed(
                kube::Error::ReadEvents(_) | kube::Error::Service(_) | kube::Error::HyperError(_)
            )
        ) {
            // The stream ended or was idle for too long. The watcher opens it again, and only a failure to do so is a
            // problem.
            return;
        }
        let status = match error {
            WatchError(status)
            | InitialListFailed(kube::Error::Api(status))
            | WatchStartFailed(kube::Error::Api(status))
            | WatchFailed(kube::Error::Api(status)) => Some(status.as_ref()),
            _ => None,
        };
        let is_list = matches!(error, InitialListFailed(_));
        match status {
            Some(status) if is_list || matches!(status.code, 401..=405) => {
                self.failed_watches.insert(what.to_owned(), status.clone());
            }
            Some(_) | None => self.unreachable = Some(chain(error)),
        }
    }
}

impl View {
    /// Starts to watch the namespace of `tenant` and the nodes, and with `system` also the cluster's core pods.
    pub(super) fn start(tenant: &Tenant, client: &Client, system: bool) -> Self {
        let namespace = &tenant.plan.namespace;
        let errors = watch::Sender::default();
        Self {
            pods: store(tenant, &errors, Api::namespaced(client.clone(), namespace)),
            system_pods: if system {
                let pods = Api::namespaced(client.clone(), "kube-system");
                store(tenant, &errors, pods)
            } else {
                reflector::store().0
            },
            nodes: store(tenant, &errors, Api::all(client.clone())),
            daemon_sets: store(tenant, &errors, Api::namespaced(client.clone(), namespace)),
            deployments: store(tenant, &errors, Api::namespaced(client.clone(), namespace)),
            events: store(tenant, &errors, Api::namespaced(client.clone(), namespace)),
            workloads: Arc::new(Workloads::of(&tenant.plan.rendered)),
            errors,
        }
    }

    /// A receiver that is notified of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<WatchErrors> {
        self.errors.subscribe()
    }

    /// The current state.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            pods: self.pods.state(),
            system_pods: self.system_pods.state(),
            nodes: self.nodes.state(),
            daemon_sets: self.daemon_sets.state(),
            deployments: self.deployments.state(),
            events: self.events.state(),
            workloads: Arc::clone(&self.workloads),
            errors: self.errors.borrow().clone(),
        }
    }
}

/// The copies of the objects of `api`, which `tenant` watches.
fn store<K>(tenant: &Tenant, errors: &watch::Sender<WatchErrors>, api: Api<K>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let what = api.resource_url().to_owned();
    let errors = errors.clone();
    tenant.spawn(async move {
        let changes = watcher(api, watcher::Config::default()).default_backoff();
        let mut changes = Box::pin(reflector::reflector(writer, changes));
        while let Some(change) = changes.next().await {
            errors.send_if_modified(|errors| errors.update(&what, &change));
        }
    });
    store
}

impl Snapshot {
    /// The pods of `owner` in the cell's namespace that aren't being deleted.
    pub(crate) fn pods_of(&self, owner: Owner) -> impl Iterator<Item = &Pod> {
        alive(&self.pods).filter(move |pod| self.workloads.owner(pod) == owner)
    }

    /// The events about the object `uid`.
    pub(crate) fn events_about(&self, uid: Option<&str>) -> impl Iterator<Item = &Event> {
        let events = self.events.iter().map(AsRef::as_ref);
        events.filter(move |event: &&Event| event.involved_object.uid.as_deref() == uid)
    }

    /// The node `name`.
    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        let mut nodes = self.nodes.iter().map(AsRef::as_ref);
        nodes.find(|node: &&Node| node.name_any() == name)
    }

    /// The agent's `DaemonSet`.
    pub(crate) fn daemon_set(&self) -> Option<&DaemonSet> {
        let mut sets = self.daemon_sets.iter().map(AsRef::as_ref);
        sets.find(|set: &&DaemonSet| set.name_any() == self.workloads.agent.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_on_other_watches_does_not_hide_a_rejected_one() {
        let mut errors = WatchErrors::default();
        let forbidden = Status::failure("pods is forbidden", "Forbidden").with_code(403);
        let error = kube::Error::Api(forbidden.clone().boxed());
        errors.update::<Pod>("pods", &Err(watcher::Error::InitialListFailed(error)));
        errors.update::<Node>("nodes", &Ok(watcher::Event::InitDone));
        // The next attempt begins and hasn't succeeded yet.
        errors.update::<Pod>("pods", &Ok(watcher::Event::Init));
        assert_eq!(errors.unreachable, None);
        let rejected = BTreeMap::from([("pods".to_owned(), forbidden)]);
        assert_eq!(errors.failed_watches, rejected);
        errors.update::<Pod>("pods", &Ok(watcher::Event::InitDone));
        assert!(errors.failed_watches.is_empty());
    }

    /// An idle watch on a kind without bookmarks, such as events, times out even if the API server works.
    #[test]
    fn the_end_of_a_stream_is_a_problem_only_if_it_cannot_be_opened_again() {
        let mut errors = WatchErrors::default();
        let ended = || kube::Error::ReadEvents(std::io::ErrorKind::TimedOut.into());
        errors.update::<Event>("events", &Err(watcher::Error::WatchFailed(ended())));
        assert_eq!(errors.unreachable, None);
        errors.update::<Event>("events", &Err(watcher::Error::WatchStartFailed(ended())));
        assert!(errors.unreachable.is_some());
    }

    #[test]
    fn a_broken_stream_counts_as_no_response_until_any_watch_receives_something() {
        let mut errors = WatchErrors::default();
        errors.update::<Pod>("pods", &Err(watcher::Error::NoResourceVersion));
        assert!(errors.unreachable.is_some());
        errors.update::<Node>("nodes", &Ok(watcher::Event::InitDone));
        assert!(errors.unreachable.is_none());
    }
}
