//! The problems that the state of a container shows.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};

use super::images::of_pull;
use super::{AT_ONCE, CRASH_THRESHOLD, LONG, SHORT, suspicion, title};
use crate::cluster::kubernetes::pods::Owner;
use crate::cluster::kubernetes::wait::Suspicion;
use crate::event::Symptom;

/// The statuses of a pod's containers, init containers first.
pub(super) fn of(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    let init = status.flat_map(|status| status.init_container_statuses.iter().flatten());
    init.chain(statuses(pod))
}

/// The statuses of a pod's containers, without init containers.
pub(crate) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| status.container_statuses.iter().flatten())
}

/// Whether a container of the pod was restarted.
pub(crate) fn was_restarted(pod: &Pod) -> bool {
    statuses(pod).any(|status| status.restart_count > 0)
}

/// How often a container has terminated; `None` if it has never terminated.
pub(crate) fn terminations(status: &ContainerStatus) -> Option<i32> {
    let state = status.state.as_ref()?;
    let is_down = state.terminated.is_some() || waiting_reason(state) == Some("CrashLoopBackOff");
    let count = status.restart_count + i32::from(is_down);
    (count > 0).then_some(count)
}

fn waiting_reason(state: &ContainerState) -> Option<&str> {
    state.waiting.as_ref()?.reason.as_deref()
}

/// The problem that a container's state shows, if any.
pub(super) fn problem(pod: &Pod, owner: Owner, status: &ContainerStatus) -> Option<Suspicion> {
    let who = title(pod, owner);
    if terminated(status).any(is_out_of_memory) {
        let (symptom, why) = out_of_memory(pod, &status.name);
        let symptom = match owner {
            Owner::Agent | Owner::Other => symptom,
            Owner::Mock => Symptom::MockUnavailable,
            Owner::System => Symptom::NodePressure,
        };
        let message = format!("{who} was killed: {why}");
        return Some(suspicion(pod, AT_ONCE, symptom, message));
    }
    if let Some(end) = terminated(status).find(|end| is_start_error(end.reason.as_deref())) {
        let why = end.message.as_deref().unwrap_or_default();
        let message = format!("{why} ({who} can't start)");
        return Some(suspicion(pod, SHORT, of_start_error(why), message));
    }
    if let Some(count) = terminations(status).filter(|count| *count >= CRASH_THRESHOLD) {
        let symptom = match owner {
            Owner::Agent | Owner::Other => Symptom::AgentCrashed,
            Owner::Mock => Symptom::MockUnavailable,
            Owner::System => Symptom::NodeNotReady,
        };
        let code = terminated(status).next().map_or(String::new(), |end| {
            format!(", most recently with exit code {}", end.exit_code)
        });
        let message = format!("{who} has exited {count} times{code}");
        return Some(suspicion(pod, AT_ONCE, symptom, message));
    }
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let detail = waiting.message.as_deref().unwrap_or_default();
    let reason = waiting.reason.as_deref()?;
    let (patience, symptom) = of_waiting(reason, detail)?;
    let message = format!(
        "{detail} ({reason}: {who} can't start from image {})",
        status.image
    );
    Some(suspicion(pod, patience, symptom, message))
}

/// How long a container may wait for this reason, and the symptom if it waits longer; `None` if the container is only
/// starting.
fn of_waiting(reason: &str, detail: &str) -> Option<(Duration, Symptom)> {
    match reason {
        "InvalidImageName" => Some((AT_ONCE, Symptom::ImageNameUnusable)),
        "ErrImageNeverPull" => Some((SHORT, Symptom::ImageNameUnusable)),
        // Before Kubernetes 1.31, a back-off doesn't repeat the error. Then only the event about the pull contains it.
        "ErrImagePull" | "ImagePullBackOff" => {
            detail.contains("rror").then(|| (LONG, of_pull(detail)))
        }
        // A kubelet that has just started may not have cached the Secrets and ConfigMaps yet.
        "CreateContainerConfigError" if detail.contains("failed to sync") => None,
        "CreateContainerConfigError"
            if detail.contains("not found") || detail.contains("couldn't find key") =>
        {
            Some((SHORT, Symptom::DanglingReference))
        }
        "CreateContainerConfigError" => Some((SHORT, of_start_error(detail))),
        "CreateContainerError" | "RunContainerError" => Some((LONG, of_start_error(detail))),
        _ => None,
    }
}

/// Whether the memory of a container, or of its pod, is limited. Otherwise, the kernel kills it only if the node has no
/// memory left.
fn has_memory_limit(pod: &Pod, container: &str) -> bool {
    let Some(spec) = &pod.spec else {
        return false;
    };
    let init = spec.init_containers.iter().flatten();
    let own = init
        .chain(&spec.containers)
        .filter(|it| it.name == container)
        .map(|it| &it.resources);
    own.chain([&spec.resources]).flatten().any(|resources| {
        resources
            .limits
            .as_ref()
            .is_some_and(|limits| limits.contains_key("memory"))
    })
}

/// The symptom if the kernel killed a container because memory ran out, and the reason.
pub(crate) fn out_of_memory(pod: &Pod, container: &str) -> (Symptom, &'static str) {
    if has_memory_limit(pod, container) {
        let why = "it used more memory than its limit";
        (Symptom::AgentOutOfMemory, why)
    } else {
        (Symptom::NodePressure, "its node had no memory left")
    }
}

/// Whether the kernel killed the container because memory ran out.
pub(crate) fn is_out_of_memory(end: &ContainerStateTerminated) -> bool {
    end.reason.as_deref() == Some("OOMKilled")
}

fn is_start_error(reason: Option<&str>) -> bool {
    matches!(reason, Some("StartError" | "ContainerCannotRun"))
}

/// Messages of the container runtime that indicate a problem with the machine.
const MACHINE: [&str; 7] = [
    "connection refused",
    "context deadline exceeded",
    "input/output error",
    "no space left on device",
    "too many open files",
    "transport is closing",
    "resource temporarily unavailable",
];

/// The symptom if the runtime couldn't start a container. The manifests are the cause unless the machine has a problem.
pub(super) fn of_start_error(why: &str) -> Symptom {
    if MACHINE.iter().any(|words| why.contains(words)) {
        Symptom::PodNotStarted
    } else {
        Symptom::ContainerConfig
    }
}

/// The container's current termination, if it isn't running, and the termination before its last restart.
pub(crate) fn terminated(
    status: &ContainerStatus,
) -> impl Iterator<Item = &ContainerStateTerminated> {
    let states = [status.state.as_ref(), status.last_state.as_ref()];
    states
        .into_iter()
        .flatten()
        .filter_map(|state| state.terminated.as_ref())
}
