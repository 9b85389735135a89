//! Pure functions that detect problems in the state of pods, nodes and events. Some problems are permanent; the others
//! become failures only if they last.
//!
//! A state that Kubernetes never leaves is reported immediately. A state that is also normal while a cluster starts (no
//! network yet, a stale cache, a taint that will be removed soon) is reported only if it lasts.

mod containers;
mod events;
mod images;
#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Node, Pod, PodCondition};
use kube::ResourceExt;
use kube::core::Status;

use super::pods::Owner;
use super::wait::Suspicion;
use super::watch::Snapshot;
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

/// What has already happened in a cell. It determines which states are problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Some objects may not be applied yet.
    Applying,
    /// All objects are applied, so an object that is missing now will stay missing.
    Applied,
    /// The agents have become ready. Since then, [`super::terminations`] decides which of their exits are allowed.
    AgentsReady,
}

/// All suspected problems.
pub(crate) fn suspicions(snapshot: &Snapshot, stage: Stage) -> Vec<Suspicion> {
    let nodes_ready =
        !snapshot.nodes.is_empty() && snapshot.nodes.iter().all(|node| is_node_ready(node));
    let mut found = of_cluster(snapshot);
    for pod in alive(&snapshot.pods) {
        found.extend(of_pod(snapshot, pod, stage, nodes_ready));
    }
    if stage != Stage::Applying {
        let events = snapshot.events.iter();
        let relevant = events.filter(|event| is_relevant(event, snapshot));
        let jobs = &snapshot.workloads.jobs;
        found.extend(relevant.filter_map(|event| events::problem(event, jobs)));
    }
    found
}

/// The suspected problems with the cluster itself, regardless of its workloads.
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

fn watch_failure(watch: &str, why: &Status) -> Failure {
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
        (Owner::Other, _) => format!("{} on {}", pod.name_any(), node_name(pod)),
    }
}

fn suspicion(pod: &Pod, patience: Duration, symptom: Symptom, message: String) -> Suspicion {
    let key = format!("{}/{symptom}", pod.uid().unwrap_or_default());
    Suspicion::new(key, patience, Failure::new(symptom, message))
}

fn of_pod(snapshot: &Snapshot, pod: &Pod, stage: Stage, nodes_ready: bool) -> Vec<Suspicion> {
    let owner = snapshot.workloads.owner(pod);
    let mut found: Vec<_> = containers::of(pod)
        .filter_map(|status| containers::problem(snapshot, (pod, owner), status, stage))
        .collect();
    // Until every node is ready, taints and missing nodes are normal.
    found.extend(unschedulable(pod, owner).filter(|_| nodes_ready));
    found.extend(evicted(pod, owner).filter(|_| !is_of_job(pod)));
    found
}

/// Whether a Job controls the pod. A Job replaces its failed pods and restarts their containers, and an event says when
/// the Job itself has failed.
fn is_of_job(pod: &Pod) -> bool {
    let mut owners = pod.owner_references().iter();
    owners.any(|owner| owner.kind == "Job" && owner.controller == Some(true))
}

/// The problem if a core pod has crashed repeatedly. A core pod may crash while others start, so this becomes a failure
/// only if it lasts. A ready pod has recovered: in a cluster that is reused, its crashes may be old.
fn of_system_pod(pod: &Pod) -> Option<Suspicion> {
    if is_pod_ready(pod) {
        return None;
    }
    let mut counts = containers::of(pod).filter_map(terminations);
    let count = counts.find(|count| *count >= CRASH_THRESHOLD)?;
    let message = format!("{} has crashed {count} times", title(pod, Owner::Other));
    Some(suspicion(pod, LONG * 3, Symptom::NodeNotReady, message))
}

/// The problem if a pod can't be scheduled.
fn unschedulable(pod: &Pod, owner: Owner) -> Option<Suspicion> {
    let condition = condition(pod, "PodScheduled")?;
    if condition.reason.as_deref() != Some("Unschedulable") {
        return None;
    }
    let why = condition.message.as_deref().unwrap_or_default();
    let message = format!("{why} (can't schedule {})", title(pod, owner));
    Some(suspicion(pod, LONG, Symptom::Unschedulable, message))
}

/// The problem if a pod has failed because the kubelet stopped or rejected it.
pub(super) fn evicted(pod: &Pod, owner: Owner) -> Option<Suspicion> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    // If the status has no reason, the pod failed because its own containers failed, such as those of a Job that
    // retries.
    let reason = status.reason.as_deref()?;
    let why = status.message.as_deref().unwrap_or_default();
    let symptom = match reason {
        "Evicted" => of_eviction(owner, why),
        // The pod has its own `activeDeadlineSeconds`.
        "DeadlineExceeded" => containers::of_exit(owner),
        "Preempting" => Symptom::NodePressure,
        "Terminated" | "NodeShutdown" => Symptom::NodeNotReady,
        "UnexpectedAdmissionError" => Symptom::PodNotStarted,
        _ => Symptom::Unschedulable,
    };
    let message = format!(
        "the kubelet stopped or rejected {}: {reason}: {why}",
        title(pod, owner)
    );
    Some(suspicion(pod, SHORT, symptom, message))
}

/// The symptom if the kubelet evicted a pod of `owner` because of `why`.
pub(super) fn of_eviction(owner: Owner, why: &str) -> Symptom {
    // The pod used more storage than its own limits allow. In all other cases, the message begins with `The node`.
    let exceeds_limit = why.contains("limit") && !why.starts_with("The node");
    match owner {
        Owner::Agent | Owner::Other if exceeds_limit => containers::of_exit(owner),
        Owner::Agent | Owner::Other | Owner::Mock => Symptom::NodePressure,
    }
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
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// The condition of a pod with this name.
pub(super) fn condition<'p>(pod: &'p Pod, name: &str) -> Option<&'p PodCondition> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == name)
}

/// Whether an event matters. An event about a pod matters only if the pod exists and isn't ready. A failed mount no
/// longer matters when the pod runs, because its volumes are mounted first. The failure to create a pod no longer
/// matters when a pod has been created.
fn is_relevant(event: &Event, snapshot: &Snapshot) -> bool {
    let is_mount = event.reason.as_deref() == Some("FailedMount");
    let is_resolved = |pod: &Pod| is_pod_ready(pod) || (is_mount && phase(pod) == Some("Running"));
    match event.involved_object.kind.as_deref() {
        Some("Pod") => alive(&snapshot.pods)
            .any(|pod| pod.uid() == event.involved_object.uid && !is_resolved(pod)),
        Some(_) if event.reason.as_deref() == Some("FailedCreate") => {
            !alive(&snapshot.pods).any(|pod| is_created_since(event, pod))
        }
        Some(_) | None => true,
    }
}

/// Whether the controller that an event is about has created `pod` since then.
fn is_created_since(event: &Event, pod: &Pod) -> bool {
    let controller = event.involved_object.uid.as_deref();
    let mut owners = pod.owner_references().iter();
    owners.any(|owner| Some(owner.uid.as_str()) == controller)
        && pod.metadata.creation_timestamp >= event.last_timestamp
}
