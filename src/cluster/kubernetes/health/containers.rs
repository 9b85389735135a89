//! The problems that the state of a container shows.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};

use super::images::of_pull;
use super::{AT_ONCE, CRASH_THRESHOLD, LONG, SHORT, Stage, is_of_job, suspicion, title};
use crate::cluster::kubernetes::liveness::killed_by_probe;
use crate::cluster::kubernetes::pods::Owner;
use crate::cluster::kubernetes::wait::Suspicion;
use crate::cluster::kubernetes::watch::Snapshot;
use crate::event::Symptom;

/// The statuses of a pod's containers, init containers first.
pub(super) fn of(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    init(pod).chain(regular(pod))
}

/// The statuses of a pod's containers, without the init containers that have to end. A sidecar, which is an init
/// container with the restart policy `Always`, runs as long as the pod.
pub(crate) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let sidecars = init(pod).filter(move |status| is_sidecar(pod, &status.name));
    sidecars.chain(regular(pod))
}

fn init(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| status.init_container_statuses.iter().flatten())
}

fn regular(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| status.container_statuses.iter().flatten())
}

fn is_sidecar(pod: &Pod, container: &str) -> bool {
    let spec = pod.spec.iter();
    let mut init = spec.flat_map(|spec| spec.init_containers.iter().flatten());
    init.any(|it| it.name == container && it.restart_policy.as_deref() == Some("Always"))
}

/// Whether a container of the pod was restarted.
pub(crate) fn was_restarted(pod: &Pod) -> bool {
    statuses(pod).any(|status| status.restart_count > 0)
}

/// How many times a container has terminated; `None` if it has never terminated.
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
pub(super) fn problem(
    snapshot: &Snapshot,
    (pod, owner): (&Pod, Owner),
    status: &ContainerStatus,
    stage: Stage,
) -> Option<Suspicion> {
    let exits_matter = do_exits_matter(pod, owner, status, stage);
    let killed = killed(pod, owner, status).filter(|_| exits_matter);
    let crashed = || crashed(snapshot, (pod, owner), status).filter(|_| exits_matter);
    killed
        .or_else(|| start_error(pod, owner, status))
        .or_else(crashed)
        .or_else(|| not_started(pod, owner, status))
}

/// Whether exits of a container are a problem here. Kubernetes decides whether a Job has failed. Once the agents have
/// become ready, `Terminations` counts their exits, except those of init containers.
fn do_exits_matter(pod: &Pod, owner: Owner, status: &ContainerStatus, stage: Stage) -> bool {
    let is_counted = owner == Owner::Agent
        && stage == Stage::AgentsReady
        && statuses(pod).any(|counted| counted.name == status.name);
    !is_counted && !is_of_job(pod)
}

/// The problem if the kernel killed a container because memory ran out.
fn killed(pod: &Pod, owner: Owner, status: &ContainerStatus) -> Option<Suspicion> {
    terminated(status).find(|end| is_out_of_memory(end))?;
    let (symptom, why) = out_of_memory(pod, &status.name);
    let symptom = match owner {
        Owner::Other if symptom == Symptom::AgentOutOfMemory => of_exit(owner),
        Owner::Agent | Owner::Other => symptom,
        Owner::Mock => of_exit(owner),
    };
    let message = format!("{} was killed: {why}", title(pod, owner));
    Some(suspicion(pod, AT_ONCE, symptom, message))
}

/// The problem if the runtime couldn't start a container's process.
fn start_error(pod: &Pod, owner: Owner, status: &ContainerStatus) -> Option<Suspicion> {
    let end = terminated(status).next()?;
    // A container that is running now has recovered, for example from a temporary problem of the runtime.
    let state = status.state.as_ref();
    let is_running = state.is_some_and(|state| state.running.is_some());
    let reason = end.reason.as_deref();
    if is_running || !matches!(reason, Some("StartError" | "ContainerCannotRun")) {
        return None;
    }
    let why = end.message.as_deref().unwrap_or_default();
    let message = format!("{why} ({} can't start)", title(pod, owner));
    Some(suspicion(pod, SHORT, of_start_error(why), message))
}

/// The problem if a container has exited repeatedly. If its last exit was successful, it is done: for example an init
/// container that was restarted until a server responded.
fn crashed(
    snapshot: &Snapshot,
    (pod, owner): (&Pod, Owner),
    status: &ContainerStatus,
) -> Option<Suspicion> {
    let count = terminations(status).filter(|count| *count >= CRASH_THRESHOLD)?;
    let end = status.state.as_ref()?.terminated.as_ref();
    if end.is_some_and(|end| end.exit_code == 0) {
        return None;
    }
    let code = terminated(status).next().map_or(String::new(), |end| {
        format!(", most recently with exit code {}", end.exit_code)
    });
    let title = title(pod, owner);
    // Any kill counts, because the kubelet creates no events for later ones if there are too many.
    let killed = killed_by_probe(snapshot, pod, None).filter(|_| owner == Owner::Agent);
    if let Some(why) = killed {
        let message = format!("the kubelet has killed {title}: {why} ({count} exits{code})");
        return Some(suspicion(pod, AT_ONCE, Symptom::AgentUnhealthy, message));
    }
    let message = format!("{title} has exited {count} times{code}");
    Some(suspicion(pod, AT_ONCE, of_exit(owner), message))
}

/// The symptom if a container of `owner` fails, and nothing else caused it.
pub(super) fn of_exit(owner: Owner) -> Symptom {
    match owner {
        Owner::Agent => Symptom::AgentCrashed,
        Owner::Mock => Symptom::MockUnavailable,
        Owner::Other => Symptom::WorkloadFailed,
    }
}

/// The problem if a container waits for something that may never happen.
fn not_started(pod: &Pod, owner: Owner, status: &ContainerStatus) -> Option<Suspicion> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let detail = waiting.message.as_deref().unwrap_or_default();
    let reason = waiting.reason.as_deref()?;
    let (patience, symptom) = of_waiting(reason, detail)?;
    let message = format!(
        "{detail} ({reason}: {} can't start from image {})",
        title(pod, owner),
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
    let containers = init.chain(&spec.containers);
    let own = containers.filter(|it| it.name == container);
    let resources = own.map(|it| &it.resources).chain([&spec.resources]);
    let mut limits = resources.flatten().filter_map(|it| it.limits.as_ref());
    limits.any(|limits| limits.contains_key("memory"))
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

/// Messages of the container runtime that indicate a problem with the machine.
const MACHINE: [&str; 9] = [
    "code = Unavailable",
    "connection refused",
    "context deadline exceeded",
    "input/output error",
    // An earlier request for the same container has timed out, and containerd is still handling it.
    "is reserved for",
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
    let states = status.state.iter().chain(&status.last_state);
    states.filter_map(|state| state.terminated.as_ref())
}
