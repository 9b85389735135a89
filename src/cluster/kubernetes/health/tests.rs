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

fn found_at(stage: Stage, snapshot: &Snapshot) -> Vec<(Symptom, Duration)> {
    let found = suspicions(snapshot, stage).into_iter();
    found.map(|it| (it.failure.symptom, it.patience)).collect()
}

fn found(snapshot: &Snapshot) -> Vec<(Symptom, Duration)> {
    found_at(Stage::Applied, snapshot)
}

fn with(pods: Vec<Arc<Pod>>) -> Snapshot {
    Snapshot {
        pods,
        nodes: vec![node(&json!([{"type": "Ready", "status": "True"}]))],
        ..Snapshot::default()
    }
}

fn of(pods: Vec<Arc<Pod>>) -> Vec<(Symptom, Duration)> {
    found(&with(pods))
}

fn killed(reason: &str, code: i32) -> Value {
    json!({"terminated": {"reason": reason, "exitCode": code}})
}

/// For each case, the pod's owner, the pod's state, and the problems that it shows.
#[test]
fn each_end_of_a_container_shows_its_problem() {
    let backoff = json!({"waiting": {"reason": "CrashLoopBackOff"}});
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
            "plexd",
            json!({"containerStatuses": [{
                "name": "unlimited", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
                "lastState": killed("OOMKilled", 137),
            }]}),
            vec![(Symptom::NodePressure, AT_ONCE)],
        ),
        (
            "mock-api",
            container(0, &killed("OOMKilled", 137), &json!({})),
            vec![(Symptom::MockUnavailable, AT_ONCE)],
        ),
        (
            "database",
            container(2, &backoff, &killed("Error", 1)),
            vec![(Symptom::WorkloadFailed, AT_ONCE)],
        ),
        (
            "database",
            container(1, &json!({"running": {}}), &killed("OOMKilled", 137)),
            vec![(Symptom::WorkloadFailed, AT_ONCE)],
        ),
        (
            "database",
            container(2, &killed("Completed", 0), &killed("Error", 1)),
            vec![],
        ),
        (
            "plexd",
            container(1, &json!({"running": {}}), &killed("StartError", 128)),
            vec![],
        ),
        (
            "plexd",
            container(1, &backoff, &killed("StartError", 128)),
            vec![(Symptom::ContainerConfig, SHORT)],
        ),
    ];
    for (name, status, expected) in cases {
        assert_eq!(of(vec![pod(name, &status)]), expected, "{name}: {status}");
    }
}

#[test]
fn each_state_of_a_waiting_pod_shows_its_problem() {
    let unschedulable = json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room",
    }]});
    let cases = [
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
    ];
    for (name, status, expected) in cases {
        assert_eq!(of(vec![pod(name, &status)]), expected, "{name}: {status}");
    }
}

#[test]
fn a_failed_pod_shows_its_problem() {
    let cases = [
        (
            "database",
            json!({"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume \"data\" exceeds the limit \"1Mi\"."}),
            vec![(Symptom::WorkloadFailed, SHORT)],
        ),
        (
            "database",
            json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline"}),
            vec![(Symptom::WorkloadFailed, SHORT)],
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
            json!({"phase": "Failed", "reason": "NodeShutdown", "message": "Pod was rejected as the node is shutting down."}),
            vec![(Symptom::NodeNotReady, SHORT)],
        ),
        (
            "plexd",
            json!({"phase": "Failed", "reason": "UnexpectedAdmissionError"}),
            vec![(Symptom::PodNotStarted, SHORT)],
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
                "CreateContainerError",
                "failed to reserve container name \"c\": name \"c\" is reserved for \"1\"",
            ),
            vec![(Symptom::PodNotStarted, LONG)],
        ),
        (
            waiting(
                "RunContainerError",
                "rpc error: code = Unavailable desc = error reading from server: EOF",
            ),
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

/// `Terminations` counts these exits, and knows how many are allowed.
#[test]
fn exits_of_agents_after_readiness_are_not_a_problem_by_themselves() {
    let backoff = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let ready = |name, status: &Value| found_at(Stage::AgentsReady, &with(vec![pod(name, status)]));
    let exits = container(9, &backoff, &killed("Error", 1));
    assert_eq!(ready("plexd", &exits), []);
    let out_of_memory = container(1, &json!({"running": {}}), &killed("OOMKilled", 137));
    assert_eq!(ready("plexd", &out_of_memory), []);
    let init = json!({"initContainerStatuses": exits["containerStatuses"]});
    assert_eq!(ready("plexd", &init), [(Symptom::AgentCrashed, AT_ONCE)]);
    let mut sidecar = (*pod("plexd", &init)).clone();
    sidecar.spec.as_mut().unwrap().init_containers =
        serde_json::from_value(json!([{"name": "c", "restartPolicy": "Always"}])).unwrap();
    let sidecar = with(vec![Arc::new(sidecar)]);
    assert_eq!(found_at(Stage::AgentsReady, &sidecar), []);
    assert_eq!(
        ready("mock-api", &exits),
        [(Symptom::MockUnavailable, AT_ONCE)]
    );
    assert_eq!(
        ready("plexd", &waiting("InvalidImageName", "")),
        [(Symptom::ImageNameUnusable, AT_ONCE)]
    );
}

#[test]
fn a_job_fails_only_when_kubernetes_says_so() {
    let job_pod = |status: &Value| {
        let mut pod = (*pod("migrate", status)).clone();
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "migrate", "uid": "j", "controller": true});
        pod.metadata.owner_references = serde_json::from_value(json!([job])).unwrap();
        Arc::new(pod)
    };
    let backoff = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    for status in [
        container(2, &backoff, &killed("Error", 1)),
        container(1, &json!({"running": {}}), &killed("OOMKilled", 137)),
        json!({"phase": "Failed", "reason": "DeadlineExceeded"}),
    ] {
        assert_eq!(of(vec![job_pod(&status)]), [], "{status}");
    }
    let failed = |job: &str| {
        let event = json!({
            "metadata": {"name": "e"}, "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
            "involvedObject": {"kind": "Job", "name": job},
        });
        found(&Snapshot {
            events: vec![Arc::new(serde_json::from_value(event).unwrap())],
            jobs: Arc::new(["migrate".to_owned()].into()),
            ..Snapshot::default()
        })
    };
    assert_eq!(failed("migrate"), [(Symptom::WorkloadFailed, AT_ONCE)]);
    assert_eq!(failed("of-the-agent"), [], "the manifests don't contain it");
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
fn a_core_pod_that_has_recovered_from_its_crashes_is_not_a_problem() {
    let crashes = |ready: &str| {
        let mut status = container(5, &json!({"running": {}}), &killed("Error", 1));
        status["conditions"] = json!([{"type": "Ready", "status": ready}]);
        found(&Snapshot {
            system_pods: vec![pod("kube-scheduler", &status)],
            ..Snapshot::default()
        })
    };
    assert_eq!(crashes("False"), [(Symptom::NodeNotReady, LONG * 3)]);
    assert_eq!(crashes("True"), []);
}

#[test]
fn a_pod_that_could_not_be_created_does_not_matter_once_a_pod_has_been_created() {
    let event = json!({
        "metadata": {"name": "e"}, "reason": "FailedCreate", "message": "pods \"x\" is forbidden: exceeded quota: q",
        "involvedObject": {"kind": "DaemonSet", "name": "plexd", "uid": "set"},
        "lastTimestamp": "2026-01-01T00:00:10Z",
    });
    let created = |owner: &str, at: &str| {
        let mut pod = (*pod("plexd", &json!({"phase": "Pending"}))).clone();
        pod.metadata.creation_timestamp = serde_json::from_value(json!(at)).unwrap();
        let set =
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "plexd", "uid": owner});
        pod.metadata.owner_references = serde_json::from_value(json!([set])).unwrap();
        found(&Snapshot {
            pods: vec![Arc::new(pod)],
            events: vec![Arc::new(serde_json::from_value(event.clone()).unwrap())],
            ..Snapshot::default()
        })
    };
    let refused = [(Symptom::ObjectRefused, LONG)];
    assert_eq!(created("set", "2026-01-01T00:00:09Z"), refused);
    assert_eq!(created("other", "2026-01-01T00:00:11Z"), refused);
    assert_eq!(created("set", "2026-01-01T00:00:11Z"), []);
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
        (
            "Pod",
            "Failed",
            "(combined from similar events): Failed to pull image \"a/b:c\": not found",
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
        assert!(suspicions(&snapshot, Stage::Applying).is_empty());
        // An event about a pod that is ready now doesn't matter.
        if kind == "Pod" {
            let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
            snapshot.pods = vec![pod("plexd", &ready)];
            assert_eq!(found(&snapshot), []);
        }
        // All volumes of a running pod are mounted.
        if reason == "FailedMount" {
            snapshot.pods = vec![pod("plexd", &json!({"phase": "Running"}))];
            assert_eq!(found(&snapshot), []);
        }
    }
}
