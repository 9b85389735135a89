//! What the state of pods, nodes and events means: what is wrong for good, what may pass, and how long it may take to. Pure.
//!
//! Which evidence makes a thing permanent: a state that Kubernetes itself never leaves needs no patience; one that also shows while a
//! cluster comes up (no network yet, a cache that lags, a taint that is about to go) is believed when it has stayed.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Event, Node, Pod};
use kube::ResourceExt;

use super::pods::Owner;
use super::wait::Suspicion;
use super::watch::{Refused, Snapshot};
use crate::event::{Failure, Symptom};

const AT_ONCE: Duration = Duration::ZERO;
/// For what a lagging cache can show for a moment.
const SHORT: Duration = Duration::from_secs(2);
/// For what shows while neighbours are coming up.
const LONG: Duration = Duration::from_secs(10);

/// How often a program may end before it is called crashing.
const CRASHES: i32 = 3;

/// Everything that looks wrong. `is_applied`: all objects are, so that what is missing now stays missing.
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
        found.extend(events.filter_map(|event| of_event(event)));
    }
    found
}

/// What looks wrong with the cluster itself, whatever runs in it.
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
            format!("the API server does not answer any more: {why}"),
        ),
    }));
    found
}

fn of_refused_watch(watch: &str, why: &Refused) -> Failure {
    let symptom = match why.code {
        Some(401 | 403) => Symptom::BadConfiguration,
        Some(_) | None => Symptom::ApiServerGone,
    };
    let message = format!("the watch on {watch} is refused or broken: {}", why.message);
    let failure = Failure::new(symptom, message);
    if symptom == Symptom::BadConfiguration {
        failure.with_remedy(format!(
            "allow the kubeconfig's user to list and watch {watch}"
        ))
    } else {
        failure
    }
}

/// The pods that are not on their way out.
pub(crate) fn alive(pods: &[std::sync::Arc<Pod>]) -> impl Iterator<Item = &Pod> {
    let pods = pods.iter().map(AsRef::as_ref);
    pods.filter(|pod: &&Pod| pod.metadata.deletion_timestamp.is_none())
}

/// Where a pod runs, for people.
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
    let mut found: Vec<_> = containers(pod)
        .filter_map(|status| of_container(pod, owner, status))
        .collect();
    found.extend(unschedulable(pod, owner, nodes_ready));
    found.extend(ended(pod, owner));
    found
}

/// A core pod may stumble while the others come up, so only one that keeps crashing counts, and only when it stays so.
fn of_system_pod(pod: &Pod) -> Option<Suspicion> {
    let crashed =
        containers(pod).find_map(|status| crashes(status).filter(|count| *count >= CRASHES));
    let count = crashed?;
    let message = format!("{} has crashed {count} times", title(pod, Owner::System));
    Some(suspicion(pod, LONG * 3, Symptom::NodeNotReady, message))
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    })
}

/// How often a container has ended, where it is not running now or has been started anew.
pub(crate) fn crashes(status: &ContainerStatus) -> Option<i32> {
    let state = status.state.as_ref()?;
    let is_down = state.terminated.is_some() || waiting_reason(state) == Some("CrashLoopBackOff");
    let count = status.restart_count + i32::from(is_down);
    (count > 0).then_some(count)
}

fn waiting_reason(state: &ContainerState) -> Option<&str> {
    state.waiting.as_ref()?.reason.as_deref()
}

fn of_container(pod: &Pod, owner: Owner, status: &ContainerStatus) -> Option<Suspicion> {
    let who = title(pod, owner);
    if is_out_of_memory(status) {
        let symptom = match owner {
            Owner::Agent | Owner::Other => Symptom::AgentOutOfMemory,
            Owner::Mock => Symptom::MockUnavailable,
            Owner::System => Symptom::NodePressure,
        };
        return Some(suspicion(
            pod,
            AT_ONCE,
            symptom,
            format!("{who} was killed for using more memory than its limit"),
        ));
    }
    if let Some(end) = terminated(status).find(|end| is_start_error(end.reason.as_deref())) {
        let why = end.message.as_deref().unwrap_or_default();
        let message = format!("{why} ({who} can't start)");
        return Some(suspicion(pod, SHORT, of_start_error(why), message));
    }
    if let Some(count) = crashes(status).filter(|count| *count >= CRASHES) {
        let symptom = match owner {
            Owner::Agent | Owner::Other => Symptom::AgentCrashed,
            Owner::Mock => Symptom::MockUnavailable,
            Owner::System => Symptom::NodeNotReady,
        };
        let code = exit_code(status).map_or(String::new(), |code| {
            format!(", last with exit code {code}")
        });
        return Some(suspicion(
            pod,
            AT_ONCE,
            symptom,
            format!("{who} has ended {count} times{code}"),
        ));
    }
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let detail = waiting.message.as_deref().unwrap_or_default();
    let (patience, symptom) = of_waiting(waiting.reason.as_deref()?, detail)?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = format!(
        "{detail} ({reason}: {who} can't start from image {})",
        status.image
    );
    Some(suspicion(pod, patience, symptom, message))
}

/// What a container's reason for waiting means; none where it is only on its way.
fn of_waiting(reason: &str, detail: &str) -> Option<(Duration, Symptom)> {
    match reason {
        "InvalidImageName" => Some((AT_ONCE, Symptom::ImageNameUnusable)),
        "ErrImageNeverPull" => Some((SHORT, Symptom::ImageNameUnusable)),
        // Before 1.31 a back-off doesn't repeat why; the event of the pull does.
        "ErrImagePull" | "ImagePullBackOff" => {
            detail.contains("rror").then(|| (LONG, of_pull(detail)))
        }
        // A kubelet that has just started may not have its copy of secrets and config maps yet.
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

fn is_start_error(reason: Option<&str>) -> bool {
    matches!(reason, Some("StartError" | "ContainerCannotRun"))
}

/// What a machine's own trouble says when the container runtime meets it.
const MACHINE: [&str; 7] = [
    "connection refused",
    "context deadline exceeded",
    "input/output error",
    "no space left on device",
    "too many open files",
    "transport is closing",
    "resource temporarily unavailable",
];

/// Why the runtime didn't start a container: what the manifests ask for, unless the machine is in trouble.
fn of_start_error(why: &str) -> Symptom {
    if MACHINE.iter().any(|words| why.contains(words)) {
        Symptom::PodNotStarted
    } else {
        Symptom::ContainerConfig
    }
}

/// Why an image wasn't pulled: no registry has it under its name, unless it is the network's fault.
fn of_pull(why: &str) -> Symptom {
    const NAME: [&str; 6] = [
        "not found",
        "no such host",
        "denied",
        "does not exist",
        "manifest unknown",
        "invalid reference",
    ];
    if NAME.iter().any(|words| why.contains(words)) {
        Symptom::ImageNameUnusable
    } else {
        Symptom::ImagePullFailed
    }
}

pub(crate) fn terminated(
    status: &ContainerStatus,
) -> impl Iterator<Item = &k8s_openapi::api::core::v1::ContainerStateTerminated> {
    let states = [status.state.as_ref(), status.last_state.as_ref()];
    states
        .into_iter()
        .flatten()
        .filter_map(|state| state.terminated.as_ref())
}

fn is_out_of_memory(status: &ContainerStatus) -> bool {
    terminated(status).any(|end| end.reason.as_deref() == Some("OOMKilled"))
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    terminated(status).next().map(|end| end.exit_code)
}

/// Until every node is ready, a taint or a missing node may still keep a pod away.
fn unschedulable(pod: &Pod, owner: Owner, nodes_ready: bool) -> Option<Suspicion> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let why = condition.message.as_deref().unwrap_or_default();
    let message = format!("{why} (no node takes {})", title(pod, owner));
    nodes_ready.then(|| suspicion(pod, LONG, Symptom::Unschedulable, message))
}

/// A pod that ended as a whole: the kubelet evicted it, or would not have it.
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
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|other| other.type_ == condition && other.status == "True")
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
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Old events of pods that are well by now, or gone, say nothing.
fn concerns_waiting_pod(event: &Event, snapshot: &Snapshot) -> bool {
    match event.involved_object.kind.as_deref() {
        Some("Pod") => alive(&snapshot.pods)
            .any(|pod| pod.uid() == event.involved_object.uid && !is_pod_ready(pod)),
        Some(_) | None => true,
    }
}

/// What only an event tells: volumes that can't be mounted, pods that can't be made.
fn of_event(event: &Event) -> Option<Suspicion> {
    let why = event.message.as_deref().unwrap_or_default();
    let subject = event.involved_object.name.as_deref().unwrap_or_default();
    let (patience, symptom) = match event.reason.as_deref()? {
        "FailedMount" if is_missing_object(why) => (LONG, Symptom::DanglingReference),
        "FailedMount" if why.contains("hostPath type check failed") => {
            (SHORT, Symptom::ContainerConfig)
        }
        "Failed" if why.starts_with("Failed to pull image") => (LONG, of_pull(why)),
        "FailedCreatePodSandBox" if is_sandbox_refused(why) => (SHORT, Symptom::ContainerConfig),
        // Every namespace gets its default account a moment after itself.
        "FailedCreate" if why.contains("serviceaccount \"default\" not found") => return None,
        "FailedCreate" if why.contains("serviceaccount") && why.contains("not found") => {
            (SHORT, Symptom::DanglingReference)
        }
        "FailedCreate" if why.contains("forbidden") || why.contains("is invalid") => {
            (SHORT, Symptom::ObjectRefused)
        }
        _ => return None,
    };
    Some(Suspicion {
        key: format!("{subject}/{symptom}"),
        patience,
        failure: Failure::new(symptom, format!("{why} ({subject})")),
    })
}

/// Whether the runtime can't make a pod's sandbox from what the manifests ask for.
fn is_sandbox_refused(why: &str) -> bool {
    let words = [
        "OOM-killed",
        "memory limit too low",
        "no runtime for",
        "sysctl",
    ];
    words.into_iter().any(|words| why.contains(words))
}

fn is_missing_object(why: &str) -> bool {
    let is_object = why.contains("configmap \"") || why.contains("secret \"");
    (is_object && why.contains("not found")) || why.contains("references non-existent")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, status: &Value) -> Arc<Pod> {
        let pod = json!({
            "metadata": {"name": name, "uid": name, "labels": {"app.kubernetes.io/name": name}},
            "spec": {"nodeName": "worker", "containers": []},
            "status": status,
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn container(restarts: i32, state: &Value, last: &Value) -> Value {
        json!({"containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": false,
            "restartCount": restarts, "state": state, "lastState": last,
        }]})
    }

    fn waiting(reason: &str, message: &str) -> Value {
        container(
            0,
            &json!({"waiting": {"reason": reason, "message": message}}),
            &json!({}),
        )
    }

    fn node(conditions: &Value) -> Arc<Node> {
        let node = json!({"metadata": {"name": "worker"}, "status": {"conditions": conditions}});
        Arc::new(serde_json::from_value(node).unwrap())
    }

    fn found(snapshot: &Snapshot) -> Vec<(Symptom, Duration)> {
        let found = suspicions(snapshot, true).into_iter();
        found.map(|it| (it.failure.symptom, it.patience)).collect()
    }

    fn of(pods: Vec<Arc<Pod>>) -> Vec<(Symptom, Duration)> {
        found(&Snapshot {
            pods,
            nodes: vec![node(&json!([{"type": "Ready", "status": "True"}]))],
            ..Snapshot::default()
        })
    }

    fn killed(reason: &str, code: i32) -> Value {
        json!({"terminated": {"reason": reason, "exitCode": code}})
    }

    /// What a pod shows, whose it is, and what it means.
    #[test]
    fn every_state_has_its_meaning() {
        let backoff = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let unschedulable = json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room",
        }]});
        let cases = [
            (
                "plexd",
                container(2, &backoff, &killed("Error", 1)),
                vec![(Symptom::AgentCrashed, AT_ONCE)],
            ),
            ("plexd", container(1, &backoff, &killed("Error", 1)), vec![]),
            (
                "plexd",
                container(2, &json!({"running": {}}), &killed("Error", 1)),
                vec![],
            ),
            (
                "mock-api",
                container(2, &backoff, &killed("Error", 1)),
                vec![(Symptom::MockUnavailable, AT_ONCE)],
            ),
            (
                "plexd",
                container(1, &json!({"running": {}}), &killed("OOMKilled", 137)),
                vec![(Symptom::AgentOutOfMemory, AT_ONCE)],
            ),
            (
                "mock-api",
                container(0, &killed("OOMKilled", 137), &json!({})),
                vec![(Symptom::MockUnavailable, AT_ONCE)],
            ),
            ("plexd", waiting("ContainerCreating", ""), vec![]),
            (
                "plexd",
                waiting("InvalidImageName", ""),
                vec![(Symptom::ImageNameUnusable, AT_ONCE)],
            ),
            (
                "plexd",
                waiting("ErrImageNeverPull", ""),
                vec![(Symptom::ImageNameUnusable, SHORT)],
            ),
            (
                "plexd",
                waiting("CreateContainerConfigError", "secret \"s\" not found"),
                vec![(Symptom::DanglingReference, SHORT)],
            ),
            (
                "plexd",
                waiting("CreateContainerConfigError", "failed to sync secret cache"),
                vec![],
            ),
            (
                "plexd",
                waiting("CreateContainerConfigError", "container has runAsNonRoot"),
                vec![(Symptom::ContainerConfig, SHORT)],
            ),
            (
                "plexd",
                waiting("RunContainerError", ""),
                vec![(Symptom::ContainerConfig, LONG)],
            ),
            (
                "mock-api",
                unschedulable,
                vec![(Symptom::Unschedulable, LONG)],
            ),
            (
                "plexd",
                json!({"phase": "Failed", "reason": "Evicted"}),
                vec![(Symptom::NodePressure, SHORT)],
            ),
            (
                "plexd",
                json!({"phase": "Failed", "reason": "OutOfcpu"}),
                vec![(Symptom::Unschedulable, SHORT)],
            ),
        ];
        for (name, status, expected) in cases {
            assert_eq!(of(vec![pod(name, &status)]), expected, "{name}: {status}");
        }
    }

    #[test]
    fn a_start_that_fails_is_the_manifests_fault_unless_the_machine_is_in_trouble() {
        let start_error = json!({"terminated": {
            "reason": "StartError", "exitCode": 128, "message": "exec: \"x\": executable file not found",
        }});
        let cases = [
            (waiting("ImagePullBackOff", "Back-off"), vec![]),
            (
                waiting("ErrImagePull", "rpc error: dial tcp: i/o timeout"),
                vec![(Symptom::ImagePullFailed, LONG)],
            ),
            (
                waiting("ErrImagePull", "rpc error: code = NotFound: not found"),
                vec![(Symptom::ImageNameUnusable, LONG)],
            ),
            (
                waiting("CreateContainerError", "no space left on device"),
                vec![(Symptom::PodNotStarted, LONG)],
            ),
            (
                waiting(
                    "CreateContainerConfigError",
                    "write etc-hosts: no space left on device",
                ),
                vec![(Symptom::PodNotStarted, SHORT)],
            ),
            (
                container(0, &start_error, &json!({})),
                vec![(Symptom::ContainerConfig, SHORT)],
            ),
        ];
        for (status, expected) in cases {
            assert_eq!(of(vec![pod("plexd", &status)]), expected, "{status}");
        }
    }

    #[test]
    fn an_agent_that_crashes_is_not_the_clusters_fault() {
        let backoff = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let snapshot = Snapshot {
            pods: vec![pod("plexd", &container(2, &backoff, &json!({})))],
            ..Snapshot::default()
        };
        assert!(of_cluster(&snapshot).is_empty());
    }

    #[test]
    fn a_pod_on_its_way_out_says_nothing() {
        let mut leaving = (*pod("plexd", &waiting("InvalidImageName", ""))).clone();
        leaving.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(of(vec![Arc::new(leaving)]), []);
    }

    #[test]
    fn a_pod_that_waits_for_a_node_is_not_unschedulable_before_the_nodes_are_ready() {
        let status = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
        let snapshot = Snapshot {
            pods: vec![pod("mock-api", &status)],
            nodes: vec![node(&json!([{"type": "Ready", "status": "False"}]))],
            ..Snapshot::default()
        };
        assert_eq!(found(&snapshot), []);
    }

    #[test]
    fn a_node_under_pressure_is_named() {
        let snapshot = Snapshot {
            nodes: vec![node(&json!([{"type": "DiskPressure", "status": "True"}]))],
            ..Snapshot::default()
        };
        assert_eq!(found(&snapshot), [(Symptom::NodePressure, SHORT)]);
    }

    #[test]
    fn a_refused_watch_is_named_with_the_servers_words() {
        let failure = of_refused_watch(
            "pods in ns",
            &Refused {
                code: Some(403),
                message: "pods is forbidden".to_owned(),
            },
        );
        assert_eq!(failure.symptom, Symptom::BadConfiguration);
        assert!(
            failure
                .message
                .contains("pods in ns is refused or broken: pods is forbidden")
        );
    }

    #[test]
    fn events_tell_what_no_status_does() {
        let event = |kind: &str, reason: &str, message: &str| -> Arc<Event> {
            let event = json!({
                "metadata": {"name": "e"}, "reason": reason, "message": message,
                "involvedObject": {"kind": kind, "name": "plexd", "uid": "plexd"},
            });
            Arc::new(serde_json::from_value(event).unwrap())
        };
        let cases = [
            (
                "Pod",
                "FailedMount",
                "MountVolume.SetUp failed: configmap \"c\" not found",
                vec![(Symptom::DanglingReference, LONG)],
            ),
            (
                "Pod",
                "FailedMount",
                "failed to sync configmap cache: timed out",
                vec![],
            ),
            (
                "DaemonSet",
                "FailedCreate",
                "error looking up service account ns/a: serviceaccount \"a\" not found",
                vec![(Symptom::DanglingReference, SHORT)],
            ),
            (
                "ReplicaSet",
                "FailedCreate",
                "serviceaccount \"default\" not found",
                vec![],
            ),
            (
                "DaemonSet",
                "FailedCreate",
                "pods \"x\" is forbidden: violates PodSecurity",
                vec![(Symptom::ObjectRefused, SHORT)],
            ),
            ("Pod", "FailedCreatePodSandBox", "no network yet", vec![]),
            (
                "Pod",
                "FailedCreatePodSandBox",
                "container init was OOM-killed (memory limit too low?)",
                vec![(Symptom::ContainerConfig, SHORT)],
            ),
            (
                "Pod",
                "FailedMount",
                "hostPath type check failed: /etc is not a file",
                vec![(Symptom::ContainerConfig, SHORT)],
            ),
            (
                "Pod",
                "Failed",
                "Failed to pull image \"a/b:c\": no such host",
                vec![(Symptom::ImageNameUnusable, LONG)],
            ),
        ];
        for (kind, reason, message, expected) in cases {
            let mut snapshot = Snapshot {
                pods: vec![pod("plexd", &json!({"phase": "Pending"}))],
                events: vec![event(kind, reason, message)],
                ..Snapshot::default()
            };
            assert_eq!(found(&snapshot), expected, "{message}");
            // What is still being applied may be missing for a moment.
            assert!(suspicions(&snapshot, false).is_empty());
            // An event of a pod that is well by now is history.
            if kind == "Pod" {
                let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
                snapshot.pods = vec![pod("plexd", &ready)];
                assert_eq!(found(&snapshot), []);
            }
        }
    }
}
