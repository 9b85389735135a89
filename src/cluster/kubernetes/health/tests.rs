//! Checks which problem each state and event shows.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn pod(name: &str, status: &Value) -> Arc<Pod> {
    let pod = json!({
        "metadata": {"name": name, "uid": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": {"nodeName": "worker", "containers": [
            {"name": "c", "resources": {"limits": {"memory": "1Mi"}}},
            {"name": "unlimited"},
        ]},
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

/// For each case, the pod's owner, the pod's state, and the problems that it shows.
#[test]
fn each_state_shows_its_problem() {
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
            json!({"containerStatuses": [{
                "name": "unlimited", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
                "lastState": killed("OOMKilled", 137),
            }]}),
            vec![(Symptom::NodePressure, AT_ONCE)],
        ),
        (
            "plexd",
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
            vec![(Symptom::NodePressure, SHORT)],
        ),
        (
            "plexd",
            json!({"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume \"data\" exceeds the limit \"1Mi\"."}),
            vec![(Symptom::AgentCrashed, SHORT)],
        ),
        (
            "plexd",
            json!({"phase": "Failed", "reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."}),
            vec![(Symptom::NodeNotReady, SHORT)],
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
fn a_failed_start_is_due_to_the_manifests_unless_the_machine_has_a_problem() {
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
fn a_pod_that_is_being_deleted_is_ignored() {
    let mut terminating = (*pod("plexd", &waiting("InvalidImageName", ""))).clone();
    terminating.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(of(vec![Arc::new(terminating)]), []);
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
fn a_rejected_watch_is_reported_with_the_servers_message() {
    let failure = watch_failure(
        "pods in ns",
        &FailedWatch {
            code: 403,
            message: "pods is forbidden".to_owned(),
        },
    );
    assert_eq!(failure.symptom, Symptom::BadConfiguration);
    assert!(
        failure
            .message
            .contains("failed to watch pods in ns: pods is forbidden")
    );
}

#[test]
fn events_show_problems_that_no_status_shows() {
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
            "Failed to pull image \"a/b:c\": not found",
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
        // Objects may be missing while others are still being applied.
        assert!(suspicions(&snapshot, false).is_empty());
        // An event about a pod that is ready now doesn't matter.
        if kind == "Pod" {
            let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
            snapshot.pods = vec![pod("plexd", &ready)];
            assert_eq!(found(&snapshot), []);
        }
    }
}
