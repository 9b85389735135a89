//! What the state of pods, nodes and events means: which problems are permanent, and how long others may last. Pure.
//!
//! A state that Kubernetes never leaves is reported at once. A state that also occurs while a cluster starts (no
//! network yet, a cache that lags, a taint that is about to be removed) is reported only if it lasts.

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
use super::watch::{Refused, Snapshot};
use crate::event::{Failure, Symptom};
pub(crate) use containers::{crashes, terminated};

const AT_ONCE: Duration = Duration::ZERO;
/// For states that a lagging cache may show for a moment.
const SHORT: Duration = Duration::from_secs(2);
/// For states that occur while other components start.
const LONG: Duration = Duration::from_secs(10);

/// How often a program may end before it counts as crashing.
const CRASHES: i32 = 3;

/// Everything that looks wrong. `is_applied`: all objects are applied, so whatever is missing now stays missing.
pub(crate) fn suspicions(snapshot: &Snapshot, is_applied: bool) -> Vec<Suspicion> {
    let nodes_ready =
        !snapshot.nodes.is_empty() && snapshot.nodes.iter().all(|node| is_node_ready(node));
    let mut found = of_cluster(snapshot);
    for pod in alive(&snapshot.pods) {
        found.extend(of_pod(pod, snapshot.workloads.owner(pod), nodes_ready));
    }
    if is_applied {
        let waiting = |event: &Event| concerns_waiting_pod(event, snapshot);
        let events = snapshot.events.iter().filter(|event| waiting(event));
        found.extend(events.filter_map(|event| events::meaning(event)));
    }
    found
}

/// What looks wrong with the cluster itself, independent of its workloads.
pub(crate) fn of_cluster(snapshot: &Snapshot) -> Vec<Suspicion> {
    let mut found: Vec<_> = alive(&snapshot.system_pods)
        .filter_map(of_system_pod)
        .collect();
    found.extend(snapshot.nodes.iter().filter_map(|node| of_node(node)));
    found.extend(snapshot.refused.iter().map(|(watch, why)| Suspicion {
        key: format!("watch {watch}"),
        patience: LONG,
        failure: of_refused_watch(watch, why),
    }));
    found.extend(snapshot.unreachable.as_ref().map(|why| Suspicion {
        key: "unreachable".to_owned(),
        patience: LONG,
        failure: Failure::new(
            Symptom::ApiServerGone,
            format!("the API server no longer responds: {why}"),
        ),
    }));
    found
}

fn of_refused_watch(watch: &str, why: &Refused) -> Failure {
    let symptom = match why.code {
        Some(401 | 403) => Symptom::BadConfiguration,
        Some(_) | None => Symptom::ApiServerGone,
    };
    let message = format!("the watch on {watch} is rejected or fails: {}", why.message);
    let failure = Failure::new(symptom, message);
    if symptom == Symptom::BadConfiguration {
        failure.with_remedy(format!(
            "allow the kubeconfig's user to list and watch {watch}"
        ))
    } else {
        failure
    }
}

/// The pods that aren't being deleted.
pub(crate) fn alive(pods: &[std::sync::Arc<Pod>]) -> impl Iterator<Item = &Pod> {
    let pods = pods.iter().map(AsRef::as_ref);
    pods.filter(|pod: &&Pod| pod.metadata.deletion_timestamp.is_none())
}

/// The node of a pod, for messages.
pub(crate) fn place(pod: &Pod) -> &str {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.unwrap_or("no node")
}

fn has_node(pod: &Pod) -> bool {
    pod.spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_some())
}

fn title(pod: &Pod, owner: Owner) -> String {
    match owner {
        Owner::Agent if has_node(pod) => format!("the agent on {}", place(pod)),
        Owner::Agent => "the agent".to_owned(),
        Owner::Mock => "the mock".to_owned(),
        Owner::Other | Owner::System => format!("{} on {}", pod.name_any(), place(pod)),
    }
}

fn suspicion(pod: &Pod, patience: Duration, symptom: Symptom, message: String) -> Suspicion {
    Suspicion {
        key: format!("{}/{symptom}", pod.uid().unwrap_or_default()),
        patience,
        failure: Failure::new(symptom, message),
    }
}

fn of_pod(pod: &Pod, owner: Owner, nodes_ready: bool) -> Vec<Suspicion> {
    let mut found: Vec<_> = containers::of(pod)
        .filter_map(|status| containers::meaning(pod, owner, status))
        .collect();
    found.extend(unschedulable(pod, owner, nodes_ready));
    found.extend(ended(pod, owner));
    found
}

/// A core pod may crash while the others start, so it counts only if it keeps crashing and stays in that state.
fn of_system_pod(pod: &Pod) -> Option<Suspicion> {
    let crashed =
        containers::of(pod).find_map(|status| crashes(status).filter(|count| *count >= CRASHES));
    let count = crashed?;
    let message = format!("{} has crashed {count} times", title(pod, Owner::System));
    Some(suspicion(pod, LONG * 3, Symptom::NodeNotReady, message))
}

/// Until every node is ready, a taint or a missing node may prevent scheduling.
fn unschedulable(pod: &Pod, owner: Owner, nodes_ready: bool) -> Option<Suspicion> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let why = condition.message.as_deref().unwrap_or_default();
    let message = format!("{why} (no node takes {})", title(pod, owner));
    nodes_ready.then(|| suspicion(pod, LONG, Symptom::Unschedulable, message))
}

/// A pod that ended as a whole: the kubelet evicted or rejected it.
fn ended(pod: &Pod, owner: Owner) -> Option<Suspicion> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let reason = status.reason.as_deref().unwrap_or("Failed");
    let symptom = if reason == "Evicted" {
        Symptom::NodePressure
    } else {
        Symptom::Unschedulable
    };
    let why = status.message.as_deref().unwrap_or_default();
    let message = format!("the node gave up {}: {reason}: {why}", title(pod, owner));
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
    Some(Suspicion {
        key: format!("{name}/{pressure}"),
        patience: SHORT,
        failure: Failure::new(Symptom::NodePressure, format!("node {name} has {pressure}")),
    })
}

/// Whether a pod is ready to serve.
pub(crate) fn is_pod_ready(pod: &Pod) -> bool {
    let status = pod.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether an event concerns a pod that isn't ready. Old events of ready or deleted pods don't matter.
fn concerns_waiting_pod(event: &Event, snapshot: &Snapshot) -> bool {
    match event.involved_object.kind.as_deref() {
        Some("Pod") => alive(&snapshot.pods)
            .any(|pod| pod.uid() == event.involved_object.uid && !is_pod_ready(pod)),
        Some(_) | None => true,
    }
}
