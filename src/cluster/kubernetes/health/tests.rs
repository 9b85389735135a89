//! Checks which problem each state and event shows.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::cluster::kubernetes::fixture::object;
use crate::cluster::kubernetes::pods::Workloads;
use crate::event::Symptom::{
    AgentCrashed, AgentOutOfMemory, AgentUnhealthy, BadConfiguration, ContainerConfig,
    DanglingReference, ImageNameUnusable, ImagePullFailed, MockUnavailable, NodeNotReady,
    NodePressure, ObjectRefused, PodNotStarted, Unschedulable, WorkloadFailed,
};

/// A pod whose name, UID and label are `name`.
fn pod(name: &str, status: &Value) -> Value {
    json!({
        "metadata": {"name": name, "uid": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": {"nodeName": "worker", "containers": [
            {"name": "c", "resources": {"limits": {"memory": "1Mi"}}},
            {"name": "unlimited"},
        ]},
        "status": status,
    })
}

fn container(restarts: i32, state: &Value, last: &Value) -> Value {
    json!({"containerStatuses": [{
        "name": "c", "image": "i", "imageID": "", "ready": false,
        "restartCount": restarts, "state": state, "lastState": last,
    }]})
}

fn waiting(reason: &str, message: &str) -> Value {
    let state = json!({"waiting": {"reason": reason, "message": message}});
    container(0, &state, &json!({}))
}

fn backoff() -> Value {
    json!({"waiting": {"reason": "CrashLoopBackOff"}})
}

fn running() -> Value {
    json!({"running": {}})
}

fn killed(reason: &str, code: i32) -> Value {
    json!({"terminated": {"reason": reason, "exitCode": code}})
}

fn node(condition: &str, status: &str) -> Arc<Node> {
    let conditions = json!([{"type": condition, "status": status}]);
    object(&json!({"metadata": {"name": "worker"}, "status": {"conditions": conditions}}))
}

/// A cell with this pod on a node that is ready.
fn with(pod: &Value) -> Snapshot {
    Snapshot {
        pods: vec![object(pod)],
        nodes: vec![node("Ready", "True")],
        ..Snapshot::default()
    }
}

type Problems = Vec<(Symptom, Duration)>;

fn found_at(stage: Stage, snapshot: &Snapshot) -> Problems {
    let found = suspicions(snapshot, stage).into_iter();
    found.map(|it| (it.failure.symptom, it.patience)).collect()
}

fn found(snapshot: &Snapshot) -> Problems {
    found_at(Stage::Applied, snapshot)
}

/// Asserts that the pod `name` in this state shows these problems.
fn assert_shows(name: &str, status: &Value, expected: &[(Symptom, Duration)]) {
    let snapshot = with(&pod(name, status));
    assert_eq!(found(&snapshot), expected, "{name}: {status}");
}

#[test]
fn each_end_of_a_container_shows_its_problem() {
    let crashed = container(2, &backoff(), &killed("Error", 1));
    assert_shows("plexd", &crashed, &[(AgentCrashed, AT_ONCE)]);
    assert_shows("mock-api", &crashed, &[(MockUnavailable, AT_ONCE)]);
    assert_shows("database", &crashed, &[(WorkloadFailed, AT_ONCE)]);
    let mut out_of_memory = container(1, &running(), &killed("OOMKilled", 137));
    assert_shows("plexd", &out_of_memory, &[(AgentOutOfMemory, AT_ONCE)]);
    assert_shows("mock-api", &out_of_memory, &[(MockUnavailable, AT_ONCE)]);
    assert_shows("database", &out_of_memory, &[(WorkloadFailed, AT_ONCE)]);
    out_of_memory["containerStatuses"][0]["name"] = json!("unlimited");
    assert_shows("plexd", &out_of_memory, &[(NodePressure, AT_ONCE)]);
    let start_error = container(1, &backoff(), &killed("StartError", 128));
    assert_shows("plexd", &start_error, &[(ContainerConfig, SHORT)]);
    let recovered = [
        container(1, &backoff(), &killed("Error", 1)),
        container(2, &running(), &killed("Error", 1)),
        container(2, &killed("Completed", 0), &killed("Error", 1)),
        container(1, &running(), &killed("StartError", 128)),
    ];
    for status in recovered {
        assert_shows("plexd", &status, &[]);
    }
}

#[test]
fn an_agent_that_the_kubelet_kills_because_of_a_probe_is_unhealthy() {
    let crashed = container(2, &backoff(), &killed("Error", 137));
    let event = |message: &str| {
        let pod = json!({"kind": "Pod", "uid": "plexd"});
        object(&json!({"metadata": {}, "message": message, "involvedObject": pod}))
    };
    for (kill, failed) in [
        ("failed liveness probe", "Liveness probe failed: refused"),
        ("failed startup probe", "Startup probe failed: refused"),
    ] {
        let kill = format!("Container c {kill}, will be restarted");
        let snapshot = Snapshot {
            events: vec![event(failed), event(&kill)],
            ..with(&pod("plexd", &crashed))
        };
        let problems = suspicions(&snapshot, Stage::Applied);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].failure.symptom, AgentUnhealthy);
        assert_eq!(
            problems[0].failure.message,
            format!(
                "the kubelet has killed the agent on worker: {failed} (3 exits, most recently with exit code 137)"
            )
        );
    }
}

#[test]
fn each_state_of_a_waiting_pod_shows_its_problem() {
    let agent = |reason, message, expected: &[(Symptom, Duration)]| {
        assert_shows("plexd", &waiting(reason, message), expected);
    };
    agent("ContainerCreating", "", &[]);
    agent("InvalidImageName", "", &[(ImageNameUnusable, AT_ONCE)]);
    agent("ErrImageNeverPull", "", &[(ImageNameUnusable, SHORT)]);
    agent("RunContainerError", "", &[(ContainerConfig, LONG)]);
    agent("ImagePullBackOff", "Back-off", &[]);
    let pull_error = |message, symptom| agent("ErrImagePull", message, &[(symptom, LONG)]);
    pull_error("rpc error: dial tcp: i/o timeout", ImagePullFailed);
    pull_error("rpc error: NotFound: not found", ImageNameUnusable);
    let config_error = |message, expected: &[(Symptom, Duration)]| {
        agent("CreateContainerConfigError", message, expected);
    };
    let missing = "secret \"s\" not found";
    config_error(missing, &[(DanglingReference, SHORT)]);
    config_error("failed to sync secret cache", &[]);
    config_error("has runAsNonRoot", &[(ContainerConfig, SHORT)]);
    config_error("no space left on device", &[(PodNotStarted, SHORT)]);
    let unschedulable = json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room",
    }]});
    assert_shows("mock-api", &unschedulable, &[(Unschedulable, LONG)]);
}

#[test]
fn a_failed_start_is_due_to_the_manifests_unless_the_machine_has_a_problem() {
    let of_machine = [
        waiting("CreateContainerError", "no space left on device"),
        waiting("CreateContainerError", "name \"c\" is reserved for \"1\""),
        waiting("RunContainerError", "rpc error: code = Unavailable"),
    ];
    for status in of_machine {
        assert_shows("plexd", &status, &[(PodNotStarted, LONG)]);
    }
    let mut start_error = killed("StartError", 128);
    start_error["terminated"]["message"] = json!("exec: \"x\": executable file not found");
    let of_manifests = container(0, &start_error, &json!({}));
    assert_shows("plexd", &of_manifests, &[(ContainerConfig, SHORT)]);
}

#[test]
fn a_failed_pod_shows_its_problem() {
    let shows = |name, reason: &str, message: &str, symptom| {
        let status = json!({"phase": "Failed", "reason": reason, "message": message});
        assert_shows(name, &status, &[(symptom, SHORT)]);
    };
    let of_pod = "Usage of EmptyDir volume \"data\" exceeds the limit \"1Mi\".";
    let of_node = "The node was low on resource: memory.";
    shows("database", "Evicted", of_pod, WorkloadFailed);
    shows("database", "DeadlineExceeded", "", WorkloadFailed);
    shows("plexd", "Evicted", of_node, NodePressure);
    shows("plexd", "Evicted", of_pod, AgentCrashed);
    shows("plexd", "Terminated", "node shutdown", NodeNotReady);
    shows("plexd", "NodeShutdown", "", NodeNotReady);
    shows("plexd", "UnexpectedAdmissionError", "", PodNotStarted);
    shows("plexd", "OutOfcpu", "", Unschedulable);
}

/// `Terminations` counts these exits, and knows how many are allowed.
#[test]
fn exits_of_agents_after_readiness_are_counted_elsewhere() {
    let ready = |name, status: &Value| found_at(Stage::AgentsReady, &with(&pod(name, status)));
    let exits = container(9, &backoff(), &killed("Error", 1));
    assert_eq!(ready("plexd", &exits), []);
    let out_of_memory = container(1, &running(), &killed("OOMKilled", 137));
    assert_eq!(ready("plexd", &out_of_memory), []);
    let init = json!({"initContainerStatuses": exits["containerStatuses"]});
    assert_eq!(ready("plexd", &init), [(AgentCrashed, AT_ONCE)]);
    let mut sidecar = pod("plexd", &init);
    sidecar["spec"]["initContainers"] = json!([{"name": "c", "restartPolicy": "Always"}]);
    assert_eq!(found_at(Stage::AgentsReady, &with(&sidecar)), []);
    assert_eq!(ready("mock-api", &exits), [(MockUnavailable, AT_ONCE)]);
    let invalid = ready("plexd", &waiting("InvalidImageName", ""));
    assert_eq!(invalid, [(ImageNameUnusable, AT_ONCE)]);
}

#[test]
fn a_job_fails_only_when_kubernetes_says_so() {
    for status in [
        container(2, &backoff(), &killed("Error", 1)),
        container(1, &running(), &killed("OOMKilled", 137)),
        json!({"phase": "Failed", "reason": "DeadlineExceeded"}),
    ] {
        let mut pod = pod("migrate", &status);
        pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "batch/v1", "kind": "Job", "name": "migrate", "uid": "j", "controller": true},
        ]);
        assert_eq!(found(&with(&pod)), [], "{status}");
    }
    let failed = |job: &str| {
        let event = json!({
            "metadata": {"name": "e"}, "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
            "involvedObject": {"kind": "Job", "name": job},
        });
        let workloads = Workloads {
            jobs: ["migrate".to_owned()].into(),
            ..Workloads::default()
        };
        found(&Snapshot {
            events: vec![object(&event)],
            workloads: Arc::new(workloads),
            ..Snapshot::default()
        })
    };
    assert_eq!(failed("migrate"), [(WorkloadFailed, AT_ONCE)]);
    assert_eq!(failed("of-the-agent"), [], "the manifests don't contain it");
}

#[test]
fn an_agent_that_crashes_is_not_the_clusters_fault() {
    let crashed = pod("plexd", &container(2, &backoff(), &json!({})));
    assert!(of_cluster(&with(&crashed)).is_empty());
}

#[test]
fn a_core_pod_that_has_recovered_from_its_crashes_is_not_a_problem() {
    let crashes = |ready: &str| {
        let mut status = container(5, &running(), &killed("Error", 1));
        status["conditions"] = json!([{"type": "Ready", "status": ready}]);
        found(&Snapshot {
            system_pods: vec![object(&pod("kube-scheduler", &status))],
            ..Snapshot::default()
        })
    };
    assert_eq!(crashes("False"), [(NodeNotReady, LONG * 3)]);
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
        let mut pod = pod("plexd", &json!({"phase": "Pending"}));
        pod["metadata"]["creationTimestamp"] = json!(at);
        pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "plexd", "uid": owner},
        ]);
        found(&Snapshot {
            events: vec![object(&event)],
            ..with(&pod)
        })
    };
    let refused = [(ObjectRefused, LONG)];
    assert_eq!(created("set", "2026-01-01T00:00:09Z"), refused);
    assert_eq!(created("other", "2026-01-01T00:00:11Z"), refused);
    assert_eq!(created("set", "2026-01-01T00:00:11Z"), []);
}

#[test]
fn a_pod_that_is_being_deleted_is_ignored() {
    let mut terminating = pod("plexd", &waiting("InvalidImageName", ""));
    terminating["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(found(&with(&terminating)), []);
}

#[test]
fn a_pod_that_waits_for_a_node_is_not_unschedulable_before_the_nodes_are_ready() {
    let status = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
    let snapshot = Snapshot {
        nodes: vec![node("Ready", "False")],
        ..with(&pod("mock-api", &status))
    };
    assert_eq!(found(&snapshot), []);
}

#[test]
fn a_node_under_pressure_is_named() {
    let snapshot = Snapshot {
        nodes: vec![node("DiskPressure", "True")],
        ..Snapshot::default()
    };
    assert_eq!(found(&snapshot), [(NodePressure, SHORT)]);
}

#[test]
fn a_rejected_watch_is_reported_with_the_servers_message() {
    let forbidden = Status::failure("pods is forbidden", "Forbidden").with_code(403);
    let failure = watch_failure("pods in ns", &forbidden);
    assert_eq!(failure.symptom, BadConfiguration);
    let message = "failed to watch pods in ns: pods is forbidden";
    assert_eq!(failure.message, message);
}

/// Asserts that an event shows these problems, as long as they are relevant.
fn assert_event_shows(kind: &str, reason: &str, message: &str, expected: &[(Symptom, Duration)]) {
    let event = object(&json!({
        "metadata": {"name": "e"}, "reason": reason, "message": message,
        "involvedObject": {"kind": kind, "name": "plexd", "uid": "plexd"},
    }));
    let of = |status: &Value| Snapshot {
        events: vec![Arc::clone(&event)],
        ..with(&pod("plexd", status))
    };
    let pending = of(&json!({"phase": "Pending"}));
    assert_eq!(found(&pending), expected, "{message}");
    // Objects may be missing while others are still being applied.
    assert_eq!(found_at(Stage::Applying, &pending), []);
    // An event about a pod that is ready now doesn't matter.
    if kind == "Pod" {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(found(&of(&ready)), []);
    }
    // All volumes of a running pod are mounted.
    if reason == "FailedMount" {
        assert_eq!(found(&of(&json!({"phase": "Running"}))), []);
    }
}

#[test]
fn events_show_problems_that_no_status_shows() {
    let mount = |message, expected: &[(Symptom, Duration)]| {
        assert_event_shows("Pod", "FailedMount", message, expected);
    };
    let missing = "MountVolume.SetUp failed: configmap \"c\" not found";
    mount(missing, &[(DanglingReference, LONG)]);
    mount("failed to sync configmap cache: timed out", &[]);
    let wrong_type = "hostPath type check failed: /etc is not a file";
    mount(wrong_type, &[(ContainerConfig, SHORT)]);
    let create = |message, expected: &[(Symptom, Duration)]| {
        assert_event_shows("DaemonSet", "FailedCreate", message, expected);
    };
    let no_account = "error looking up service account ns/a: serviceaccount \"a\" not found";
    create(no_account, &[(DanglingReference, SHORT)]);
    create("serviceaccount \"default\" not found", &[]);
    let refused = "pods \"x\" is forbidden: violates PodSecurity";
    create(refused, &[(ObjectRefused, SHORT)]);
    let sandbox = |message, expected: &[(Symptom, Duration)]| {
        assert_event_shows("Pod", "FailedCreatePodSandBox", message, expected);
    };
    sandbox("no network yet", &[]);
    let out_of_memory = "container init was OOM-killed (memory limit too low?)";
    sandbox(out_of_memory, &[(ContainerConfig, SHORT)]);
    let pull = "Failed to pull image \"a/b:c\": not found";
    for message in [pull, &format!("(combined from similar events): {pull}")] {
        let expected = [(ImageNameUnusable, LONG)];
        assert_event_shows("Pod", "Failed", message, &expected);
    }
}
