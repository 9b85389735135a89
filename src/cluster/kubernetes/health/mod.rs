//! Pure functions that detect problems in the state of pods, nodes and events. Some problems are permanent; the others
//! become failures only if they last.
//!
//! A state that Kubernetes never leaves is reported at once. A state that is also normal while a cluster starts (no
//! network yet, a stale cache, a taint that will be removed soon) is reported only if it lasts.

mod containers;
mod events;
mod images;
#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::ResourceExt;

use super::pods::Owner;
use super::wait::Suspicion;
use super::watch::{FailedWatch, Snapshot};
use crate::event::{Failure, Symptom};
pub(crate) use containers::{
    is_out_of_memory, out_of_memory, statuses, terminated, terminations, was_restarted,
};

const AT_ONCE: Duration = Duration::ZERO;
/// For states that a stale cache may cause for a moment.
const SHORT: Duration = Duration::from_secs(2);
/// For states that occur while other components start.
const LONG: Duration = Duration::from_secs(10);

/// A program that has terminated this many times counts as crashing.
const CRASH_THRESHOLD: i32 = 3;

/// All suspected problems. `is_applied` says that all objects are applied, so an object that is missing now will stay
/// missing.
pub(crate) fn suspicions(snapshot: &Snapshot, is_applied: bool) -> Vec<Suspicion> {
    let nodes_ready =
        !snapshot.nodes.is_empty() && snapshot.nodes.iter().all(|node| is_node_ready(node));
    let mut found = of_cluster(snapshot);
    for pod in alive(&snapshot.pods) {
        found.extend(of_pod(pod, snapshot.workloads.owner(pod), nodes_ready));
    }
    if is_applied {
        let events = snapshot.events.iter();
        let relevant = events.filter(|event| is_relevant(event, snapshot));
        found.extend(relevant.filter_map(|event| events::problem(event)));
    }
    found
}

/// The suspected problems of the cluster itself, regardless of its workloads.
pub(crate) fn of_cluster(snapshot: &Snapshot) -> Vec<Suspicion> {
    let mut found: Vec<_> = alive(&snapshot.system_pods)
        .filter_map(of_system_pod)
        .collect();
    found.extend(snapshot.nodes.iter().filter_map(|node| of_node(node)));
    let errors = &snapshot.errors;
    found.extend(errors.failed_watches.iter().map(|(watch, why)| {
        Suspicion::new(format!("watch {watch}"), LONG, watch_failure(watch, why))
    }));
    found.extend(errors.unreachable.as_ref().map(|why| {
        let message = format!("the API server no longer responds: {why}");
        let failure = Failure::new(Symptom::ApiServerGone, message);
        Suspicion::new("unreachable", LONG, failure)
    }));
    found
}

fn watch_failure(watch: &str, why: &FailedWatch) -> Failure {
    let message = format!("failed to watch {watch}: {}", why.message);
    match why.code {
        401 | 403 => {
            let remedy = format!("allow the kubeconfig's user to list and watch {watch}");
            Failure::new(Symptom::BadConfiguration, message).with_remedy(remedy)
        }
        _ => Failure::new(Symptom::ApiServerGone, message),
    }
}

/// The pods that aren't being deleted.
pub(crate) fn alive(pods: &[std::sync::Arc<Pod>]) -> impl Iterator<Item = &Pod> {
    let pods = pods.iter().map(AsRef::as_ref);
    pods.filter(|pod: &&Pod| pod.metadata.deletion_timestamp.is_none())
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The name of a pod's node, for messages.
pub(crate) fn node_name(pod: &Pod) -> &str {
    node_of(pod).unwrap_or("no node")
}

/// The phase of a pod.
pub(crate) fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn title(pod: &Pod, owner: Owner) -> String {
    match (owner, node_of(pod)) {
        (Owner::Agent, Some(node)) => format!("the agent on {node}"),
        (Owner::Agent, None) => "the agent".to_owned(),
        (Owner::Mock, _) => "the mock".to_owned(),
        (Owner::Other | Owner::System, _) => format!("{} on {}", pod.name_any(), node_name(pod)),
    }
}

fn suspicion(pod: &Pod, patience: Duration, symptom: Symptom, message: String) -> Suspicion {
    let key = format!("{}/{symptom}", pod.uid().unwrap_or_default());
    Suspicion::new(key, patience, Failure::new(symptom, message))
}

fn of_pod(pod: &Pod, owner: Owner, nodes_ready: bool) -> Vec<Suspicion> {
    let mut found: Vec<_> = containers::of(pod)
        .filter_map(|status| containers::problem(pod, owner, status))
        .collect();
    found.extend(unschedulable(pod, owner, nodes_ready));
    found.extend(evicted(pod, owner));
    found
}

/// The problem that a core pod has crashed repeatedly. A core pod may crash while others start, so this becomes a
/// failure only if it lasts.
fn of_system_pod(pod: &Pod) -> Option<Suspicion> {
    let crashed = containers::of(pod)
        .find_map(|status| terminations(status).filter(|count| *count >= CRASH_THRESHOLD));
    let count = crashed?;
    let message = format!("{} has crashed {count} times", title(pod, Owner::System));
    Some(suspicion(pod, LONG * 3, Symptom::NodeNotReady, message))
}

/// The problem that a pod can't be scheduled. Until every node is ready, taints and missing nodes are normal.
fn unschedulable(pod: &Pod, owner: Owner, nodes_ready: bool) -> Option<Suspicion> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let why = condition.message.as_deref().unwrap_or_default();
    let message = format!("{why} (can't schedule {})", title(pod, owner));
    nodes_ready.then(|| suspicion(pod, LONG, Symptom::Unschedulable, message))
}

/// The problem that a pod has failed because the kubelet evicted or rejected it.
pub(super) fn evicted(pod: &Pod, owner: Owner) -> Option<Suspicion> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    // Without a reason, its own containers failed, such as those of a Job that retries.
    let reason = status.reason.as_deref()?;
    let why = status.message.as_deref().unwrap_or_default();
    let symptom = match (reason, owner) {
        // The pod used more storage than its own limits allow. In all other cases, the message begins with `The node`.
        ("Evicted", Owner::Agent | Owner::Other)
            if why.contains("limit") && !why.starts_with("The node") =>
        {
            Symptom::AgentCrashed
        }
        ("Evicted" | "Preempting", _) => Symptom::NodePressure,
        ("Terminated", _) => Symptom::NodeNotReady,
        _ => Symptom::Unschedulable,
    };
    let message = format!(
        "the kubelet evicted or rejected {}: {reason}: {why}",
        title(pod, owner)
    );
    Some(suspicion(pod, SHORT, symptom, message))
}

/// Whether a node is ready.
pub(crate) fn is_node_ready(node: &Node) -> bool {
    has_condition(node, "Ready")
}

fn has_condition(node: &Node, condition: &str) -> bool {
    let status = node.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|other| other.type_ == condition && other.status == "True")
}

fn of_node(node: &Node) -> Option<Suspicion> {
    let pressures = ["MemoryPressure", "DiskPressure", "PIDPressure"];
    let pressure = pressures
        .into_iter()
        .find(|pressure| has_condition(node, pressure))?;
    let name = node.name_any();
    let message = format!("node {name} reports {pressure}");
    let failure = Failure::new(Symptom::NodePressure, message);
    Some(Suspicion::new(format!("{name}/{pressure}"), SHORT, failure))
}

/// Whether a pod is ready to serve.
pub(crate) fn is_pod_ready(pod: &Pod) -> bool {
    let status = pod.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether an event matters. An event about a pod matters only if the pod exists and isn't ready.
fn is_relevant(event: &Event, snapshot: &Snapshot) -> bool {
    match event.involved_object.kind.as_deref() {
        Some("Pod") => alive(&snapshot.pods)
            .any(|pod| pod.uid() == event.involved_object.uid && !is_pod_ready(pod)),
        Some(_) | None => true,
    }
}
