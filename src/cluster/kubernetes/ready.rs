//! The conditions that phases wait for, as pure functions of the cluster's state.

use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::ResourceExt;

use super::health::{
    Stage, alive, is_node_ready, is_pod_ready, node_name, of_cluster, phase, statuses, suspicions,
    was_restarted,
};
use super::liveness::message;
use super::placement;
use super::pods::Owner;
use super::wait::{Progress, Suspicion};
use super::watch::Snapshot;
use crate::cluster::NodeName;
use crate::event::{Evidence, Failure, Symptom};
use crate::matrix::KubernetesVersion;

/// The taint of a node that isn't ready. The node controller adds and removes it.
pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The cluster has exactly these nodes, and all are ready.
pub(crate) fn nodes(snapshot: &Snapshot, nodes: &[NodeName]) -> Progress {
    let message = "the cluster's nodes were not ready in time";
    let failure = Failure::new(Symptom::NodeNotReady, message);
    Progress::of(node_rows(snapshot, nodes), failure, of_cluster(snapshot))
}

fn node_rows(snapshot: &Snapshot, nodes: &[NodeName]) -> Vec<Evidence> {
    let row = |node: &NodeName| {
        let state = match snapshot.node(node.as_str()) {
            Some(found) if is_node_ready(found) => "Ready",
            Some(_) => "NotReady",
            None => "missing",
        };
        Evidence::new("node", "Ready", state, state == "Ready").on(Some(node))
    };
    let (expected, count) = (nodes.len(), snapshot.nodes.len());
    let number = Evidence::new("number of nodes", expected, count, count == expected);
    nodes.iter().map(row).chain([number]).collect()
}

/// Whether all of `nodes` are ready, and pods can be scheduled to them.
///
/// The node controller removes the taint with the effect `NoSchedule` as soon as a node is ready. The taint with the
/// effect `NoExecute`, which pods tolerate for five minutes, may stay for five more seconds.
pub(crate) fn accept_pods(snapshot: &Snapshot, nodes: &[NodeName]) -> bool {
    let mut nodes = nodes.iter().map(|node| snapshot.node(node.as_str()));
    nodes.all(|node| node.is_some_and(|node| is_node_ready(node) && !rejects_pods(node)))
}

fn rejects_pods(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let mut taints = taints.into_iter().flatten();
    taints.any(|taint| taint.key == NOT_READY && taint.effect == "NoSchedule")
}

/// The cluster is up: it has exactly these nodes, all are ready, its core pods run and its DNS responds.
pub(crate) fn core(snapshot: &Snapshot, nodes: &[NodeName]) -> Progress {
    let waiting: Vec<_> = alive(&snapshot.system_pods)
        .filter(|pod| !is_running(pod))
        .map(Pod::name_any)
        .collect();
    let state = if waiting.is_empty() {
        "running".to_owned()
    } else {
        format!("waiting: {}", waiting.join(", "))
    };
    let are_running = !snapshot.system_pods.is_empty() && waiting.is_empty();
    let is_dns_ready = alive(&snapshot.system_pods).any(|pod| is_dns(pod) && is_pod_ready(pod));
    let dns = if is_dns_ready { "ready" } else { "not ready" };
    let mut evidence = node_rows(snapshot, nodes);
    evidence.push(Evidence::new("core pods", "running", state, are_running));
    evidence.push(Evidence::new("cluster DNS", "ready", dns, is_dns_ready));
    let message = "the cluster's nodes and core pods were not ready in time";
    let failure = Failure::new(Symptom::NodeNotReady, message);
    // Later phases check the cell's own pods.
    Progress::of(evidence, failure, of_cluster(snapshot))
}

/// Whether the pod's containers have started.
fn is_running(pod: &Pod) -> bool {
    matches!(phase(pod), Some("Running" | "Succeeded"))
}

/// Whether this is a pod of the cluster's DNS.
pub(crate) fn is_dns(pod: &Pod) -> bool {
    pod.labels()
        .get("k8s-app")
        .is_some_and(|app| app == "kube-dns")
}

/// The API server has the requested version.
pub(crate) fn version(requested: KubernetesVersion, server: &str) -> Result<Evidence, Failure> {
    let holds = server
        .strip_prefix('v')
        .is_some_and(|version| version.starts_with(&format!("{requested}.")));
    let evidence = Evidence::new("server version", requested, server, holds);
    if holds {
        return Ok(evidence);
    }
    let message = format!("the cluster runs Kubernetes {server}, not {requested}");
    Err(Failure::new(Symptom::ClusterDiffers, message)
        .with_remedy("use a node image whose Kubernetes version is the one in the matrix file")
        .with_evidence([evidence]))
}

/// The mock's Deployment is available.
pub(crate) fn mock(snapshot: &Snapshot, stage: Stage) -> Progress {
    let name = &snapshot.workloads.mock.name;
    let mut deployments = snapshot.deployments.iter();
    let deployment = deployments.find(|deployment| deployment.name_any() == *name);
    let status = deployment.and_then(|deployment| deployment.status.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_deref());
    let is_available = conditions.unwrap_or_default().iter().any(|condition| {
        condition.type_.as_deref() == Some("Available")
            && condition.status.as_deref() == Some("True")
    });
    let replicas = status
        .and_then(|status| status.available_replicas)
        .unwrap_or_default();
    let seen = format!("{replicas} replicas available");
    let evidence = Evidence::new("mock-api Deployment", "available", seen, is_available);
    let message = "the mock was not available in time";
    let failure = Failure::new(Symptom::MockUnavailable, message);
    Progress::of(vec![evidence], failure, suspicions(snapshot, stage))
}

/// Each node has exactly one agent, and it is ready.
pub(crate) fn agents(snapshot: &Snapshot, nodes: &[NodeName], stage: Stage) -> Progress {
    let daemon_set = snapshot.daemon_set();
    let generation = daemon_set.and_then(|set| set.metadata.generation);
    let status = daemon_set.and_then(|set| set.status.clone());
    let status = status.unwrap_or_default();
    let is_current = status.observed_generation == generation;
    let expected = nodes.len();
    let row = |subject: &str, count: i32| {
        let holds = is_current && usize::try_from(count).is_ok_and(|count| count == expected);
        Evidence::new(subject, expected, count, holds)
    };
    let updated = status.updated_number_scheduled.unwrap_or_default();
    let mut evidence = vec![
        row("desired agents", status.desired_number_scheduled),
        row("updated agents", updated),
        row("ready agents", status.number_ready),
    ];
    evidence.extend(nodes.iter().map(|node| agent_on(snapshot, node)));
    let failure = not_ready(snapshot, nodes, &evidence);
    let mut found = suspicions(snapshot, stage);
    if let Some(set) = daemon_set.filter(|_| is_current) {
        let without = nodes
            .iter()
            .filter(|node| agent_pod(snapshot, node).is_none());
        found.extend(placement::of(snapshot, set, without));
    }
    Progress::of(evidence, failure, found)
}

/// The agent's pod on `node`, unless it is being deleted.
pub(crate) fn agent_pod<'s>(snapshot: &'s Snapshot, node: &NodeName) -> Option<&'s Pod> {
    let mut agents = snapshot.pods_of(Owner::Agent);
    agents.find(|pod| node_name(pod) == node.as_str())
}

fn agent_on(snapshot: &Snapshot, node: &NodeName) -> Evidence {
    let pod = agent_pod(snapshot, node);
    let holds = pod.is_some_and(is_pod_ready);
    let seen = pod.map_or_else(|| "no agent".to_owned(), state);
    Evidence::new("agent", "ready", seen, holds).on(Some(node))
}

/// The state of a pod in a few words, such as `Pending, ErrImagePull`.
pub(crate) fn state(pod: &Pod) -> String {
    if is_pod_ready(pod) {
        return "ready".to_owned();
    }
    let phase = phase(pod).unwrap_or("Unknown");
    let waiting = statuses(pod).find_map(|container| {
        let state = container.state.as_ref()?;
        match (&state.waiting, &state.terminated) {
            (Some(waiting), _) => waiting.reason.clone(),
            (None, Some(end)) => Some(format!("exited with code {}", end.exit_code)),
            (None, None) => None,
        }
    });
    match waiting {
        Some(reason) => format!("{phase}, {reason}"),
        None => format!("{phase}, not ready"),
    }
}

/// The failure if agents aren't ready when the deadline passes. It blames the agent only if the agent's program is
/// running, and the node only if the node isn't ready.
fn not_ready(snapshot: &Snapshot, nodes: &[NodeName], evidence: &[Evidence]) -> Failure {
    let missing = unmet_nodes(evidence);
    let first = nodes.iter().find(|node| missing.contains(&node.as_str()));
    let pod = first.and_then(|node| agent_pod(snapshot, node));
    let is_ready = |name: &NodeName| snapshot.node(name.as_str()).is_some_and(is_node_ready);
    let symptom = if pod.is_some_and(is_running) {
        Symptom::AgentNotReady
    } else if first.is_none_or(is_ready) {
        Symptom::PodNotStarted
    } else {
        Symptom::NodeNotReady
    };
    let place = if missing.is_empty() {
        "any node".to_owned()
    } else {
        missing.join(", ")
    };
    let message = match pod.and_then(|pod| warning(snapshot, pod)) {
        Some(why) => format!("{why} (the agent was not ready in time on {place})"),
        None => format!("the agent was not ready in time on {place}"),
    };
    Failure::new(symptom, message)
}

/// The nodes whose checks failed.
pub(super) fn unmet_nodes(evidence: &[Evidence]) -> Vec<&str> {
    let unmet = evidence.iter().filter(|row| !row.holds);
    unmet.filter_map(|row| row.node.as_deref()).collect()
}

/// The warning that best explains why a pod isn't ready: the newest warning about its readiness probe, or else the
/// newest warning. On a slow node, a liveness probe may also fail now and then, but that doesn't make the pod unready.
fn warning(snapshot: &Snapshot, pod: &Pod) -> Option<String> {
    let events = snapshot.events_about(pod.metadata.uid.as_deref());
    let warnings = events.filter(|event| event.type_.as_deref() == Some("Warning"));
    let rank = |event: &&Event| {
        let is_direct = message(event).contains("Readiness probe");
        (is_direct, event.last_timestamp.as_ref().map(|time| time.0))
    };
    warnings.max_by_key(rank)?.message.clone()
}

/// The problem if the mock was restarted and has therefore lost its counters.
pub(super) fn mock_restarted(snapshot: &Snapshot) -> Option<Suspicion> {
    let restarted = snapshot
        .pods_of(Owner::Mock)
        .find(|pod| was_restarted(pod))?;
    let message = format!(
        "the mock ({}) was restarted, so its counters are lost",
        restarted.name_any()
    );
    let failure = Failure::new(Symptom::MockRestarted, message);
    Some(Suspicion::certain("mock restarted", failure))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::kubernetes::fixture::{agent, event, object, snapshot};

    #[test]
    fn a_failed_readiness_probe_explains_a_pod_that_is_not_ready_even_if_another_warning_is_newer()
    {
        let why = |messages: &[&str]| {
            // Each event is newer than the one before.
            let events = messages.iter().zip(10..).map(|(message, second)| {
                let mut event = event(message, 1);
                event["lastTimestamp"] = json!(format!("2026-01-01T00:00:{second}Z"));
                event
            });
            let snapshot = snapshot(&[agent("a", 0)], &events.collect::<Vec<_>>());
            warning(&snapshot, &snapshot.pods[0])
        };
        let (old, new) = ("Readiness probe failed: 503", "Readiness probe failed: 404");
        let other = "Liveness probe failed: timeout";
        assert_eq!(why(&[old, new, other]).as_deref(), Some(new));
        assert_eq!(why(&["FailedMount", other]).as_deref(), Some(other));
        assert_eq!(why(&[]), None);
    }

    #[test]
    fn pods_can_be_scheduled_when_all_nodes_are_ready_and_have_lost_their_taint() {
        let node = |status: &str, (key, effect): (&str, &str)| {
            object(&json!({
                "metadata": {"name": "worker"},
                "spec": {"taints": [{"key": key, "effect": effect}]},
                "status": {"conditions": [{"type": "Ready", "status": status}]},
            }))
        };
        let own = ("node-role.kubernetes.io/control-plane", "NoSchedule");
        let accepts = |status, taint| {
            let nodes = vec![node(status, taint)];
            let snapshot = Snapshot {
                nodes,
                ..Snapshot::default()
            };
            accept_pods(&snapshot, &[NodeName::new("worker")])
        };
        assert!(accepts("True", own));
        assert!(accepts("True", (NOT_READY, "NoExecute")));
        assert!(!accepts("True", (NOT_READY, "NoSchedule")));
        assert!(!accepts("False", own));
        assert!(!accept_pods(
            &Snapshot::default(),
            &[NodeName::new("worker")]
        ));
    }
}
