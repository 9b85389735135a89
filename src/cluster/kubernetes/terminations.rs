//! Finds terminations of the agents' processes that the suite didn't cause, in snapshots of the cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod, PodCondition};
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::health::{
    condition, evicted, is_out_of_memory, node_name, of_eviction, out_of_memory, statuses,
    terminated, terminations,
};
use super::liveness::{Unprobed, killed_by_probe, message};
use super::pods::Owner;
use super::watch::Snapshot;
use crate::cluster::NodeName;
use crate::event::{Evidence, Failure, Symptom};

/// How many times the containers of each agent pod had terminated when the agents became ready, and how many times they
/// may terminate after that.
#[derive(Debug)]
pub(crate) struct Terminations {
    /// The pods that only the suite may delete, by UID.
    baselines: Mutex<BTreeMap<String, Baseline>>,
    /// How many times the containers of a pod may terminate after readiness.
    allowed: u32,
    early: Vec<String>,
}

/// The state of an agent's pod when it became ready.
#[derive(Debug)]
struct Baseline {
    node: String,
    /// How many times its containers had terminated.
    count: i32,
    /// When it was first seen ready, according to this machine's clock.
    ready_at: Instant,
}

impl Terminations {
    /// Starts to track the agents in `snapshot`, which are ready. Up to `allowed` further terminations per pod don't
    /// fail the cell.
    pub(crate) fn new(snapshot: &Snapshot, allowed: u32) -> Self {
        let terminations = Self {
            baselines: Mutex::default(),
            allowed,
            early: agents(snapshot).filter_map(early_termination).collect(),
        };
        terminations.track(snapshot);
        terminations
    }

    /// Stops tracking the agents of `nodes`, because the suite is about to delete them.
    pub(crate) fn forget(&self, nodes: &[NodeName]) {
        let is_deleted = |node: &str| nodes.iter().any(|deleted| deleted.as_str() == node);
        let mut known = self.baselines.lock();
        known.retain(|_, baseline| !is_deleted(&baseline.node));
    }

    /// Starts to track the ready agents in `snapshot` that aren't tracked yet, because they replaced deleted ones.
    pub(crate) fn track(&self, snapshot: &Snapshot) {
        let ready_at = Instant::now();
        let mut known = self.baselines.lock();
        for pod in agents(snapshot) {
            // Terminations before this call have already been checked.
            known
                .entry(pod.uid().unwrap_or_default())
                .or_insert(Baseline {
                    node: node_name(pod).to_owned(),
                    count: count(pod),
                    ready_at,
                });
        }
    }

    /// The agents whose liveness probe may not have run by `now`.
    pub(crate) fn unprobed(&self, snapshot: &Snapshot, now: Instant) -> Vec<Unprobed> {
        let known = self.baselines.lock();
        let unprobed = |pod: &Pod| {
            let baseline = known.get(&pod.uid()?)?;
            Unprobed::of(pod, baseline.ready_at, now)
        };
        agents(snapshot).filter_map(unprobed).collect()
    }

    /// The terminations before readiness, one sentence per agent.
    pub(crate) fn early_ends(&self) -> Vec<String> {
        self.early.clone()
    }

    /// The failure if the containers of an agent terminated more times since readiness than allowed, or if something
    /// other than the suite deleted its pod.
    pub(crate) fn failure(&self, snapshot: &Snapshot) -> Option<Failure> {
        let known = self.baselines.lock();
        let is_tracked = |pod: &&Pod| known.contains_key(&pod.uid().unwrap_or_default());
        let mut tracked = agents(snapshot).filter(is_tracked);
        if let Some(evicted) = tracked.find_map(|pod| evicted(pod, Owner::Agent)) {
            return Some(evicted.failure);
        }
        let is_alive =
            |uid: &str| agents(snapshot).any(|pod| pod.metadata.uid.as_deref() == Some(uid));
        if let Some((uid, baseline)) = known.iter().find(|(uid, _)| !is_alive(uid)) {
            return Some(deleted(snapshot, uid, &baseline.node));
        }
        let since = |pod: &Pod| {
            // A pod that replaced a deleted one starts at 0.
            let before = known.get(&pod.uid().unwrap_or_default());
            let before = before.map_or(0, |baseline| baseline.count);
            u32::try_from(count(pod) - before).unwrap_or_default()
        };
        let pod = agents(snapshot).find(|pod| since(pod) > self.allowed)?;
        Some(self.exceeded(snapshot, pod, since(pod)))
    }

    /// The failure if the containers of `pod` terminated `seen` times since readiness.
    fn exceeded(&self, snapshot: &Snapshot, pod: &Pod, seen: u32) -> Failure {
        let (container, end) = last(pod).unzip();
        let memory = end
            .filter(|end| is_out_of_memory(end))
            .and(container)
            .map(|container| out_of_memory(pod, container));
        let (how, at) = end.map_or_else(Default::default, |end| {
            let at = end.finished_at.as_ref();
            let at = at.map_or_else(String::new, |at| format!(" at {}", at.0));
            (describe(end), at)
        });
        let node = node_name(pod);
        let probe = end.and_then(|end| killed_by_probe(snapshot, pod, end.started_at.as_ref()));
        let killed = |why: &str| {
            format!("the agent on {node} was killed after it became ready ({how}{at}): {why}")
        };
        let (symptom, message) = match (probe, memory) {
            (Some(probe), _) => (Symptom::AgentUnhealthy, killed(probe)),
            (None, Some((symptom, why))) => (symptom, killed(why)),
            (None, None) => (
                Symptom::AgentCrashed,
                format!("the agent on {node} exited after it became ready: {how}{at}"),
            ),
        };
        let subject = "exits of the agent's process since readiness";
        let expected = format!("<= {}", self.allowed);
        let evidence = Evidence::new(subject, expected, format!("{seen} ({how})"), false);
        Failure::new(symptom, message).with_evidence([evidence.on(Some(node))])
    }
}

/// The failure if the suite didn't delete the agent's pod `uid` on `node`.
fn deleted(snapshot: &Snapshot, uid: &str, node: &str) -> Failure {
    let (symptom, message) = if let Some(why) = eviction(snapshot, uid) {
        (
            of_eviction(Owner::Agent, why),
            format!("the kubelet evicted the agent on {node}: {why}"),
        )
    } else if let Some(cause) = disruption(snapshot, uid) {
        let why = cause.message.as_deref().unwrap_or_default();
        let message =
            format!("Kubernetes deleted the agent's pod on {node} after it became ready: {why}");
        (of_disruption(cause), message)
    } else if snapshot.node(node).is_none() {
        let message = format!("node {node} was deleted after the agent on it became ready");
        (Symptom::NodeNotReady, message)
    } else {
        let message = format!(
            "something other than the suite deleted the agent's pod on {node} after it became ready"
        );
        (Symptom::AgentCrashed, message)
    };
    let evidence = Evidence::new("agent pod", "not deleted", "deleted", false).on(Some(node));
    Failure::new(symptom, message).with_evidence([evidence])
}

/// Why the kubelet evicted the pod `uid`. The DaemonSet's controller deletes an evicted pod immediately, so the
/// eviction may show only as an event.
fn eviction<'s>(snapshot: &'s Snapshot, uid: &str) -> Option<&'s str> {
    let mut events = snapshot.events_about(Some(uid));
    let event = events.find(|event| event.reason.as_deref() == Some("Evicted"))?;
    Some(message(event))
}

/// The condition of the pod `uid` that says why Kubernetes itself deletes it, for example because its node is drained.
fn disruption<'s>(snapshot: &'s Snapshot, uid: &str) -> Option<&'s PodCondition> {
    let mut pods = snapshot.pods.iter();
    let pod = pods.find(|pod| pod.metadata.uid.as_deref() == Some(uid))?;
    condition(pod, "DisruptionTarget").filter(|condition| condition.status == "True")
}

/// The symptom for [`disruption`]: the node lacks room for a more important pod, or pods have to leave it.
fn of_disruption(cause: &PodCondition) -> Symptom {
    match cause.reason.as_deref() {
        Some("PreemptionByScheduler" | "TerminationByKubelet") => Symptom::NodePressure,
        Some(_) | None => Symptom::NodeNotReady,
    }
}

fn agents(snapshot: &Snapshot) -> impl Iterator<Item = &Pod> {
    snapshot.pods_of(Owner::Agent)
}

/// How many times the containers of a pod have terminated. Init containers that have to end don't count.
fn count(pod: &Pod) -> i32 {
    statuses(pod).filter_map(terminations).sum()
}

/// The last termination of a container of the pod, with the container's name.
fn last(pod: &Pod) -> Option<(&str, &ContainerStateTerminated)> {
    let ends =
        statuses(pod).filter_map(|status| Some((status.name.as_str(), terminated(status).next()?)));
    ends.max_by_key(|(_, end)| end.finished_at.as_ref().map(|at| at.0))
}

fn describe(end: &ContainerStateTerminated) -> String {
    let reason = end.reason.as_deref().unwrap_or("Error");
    match end.signal {
        Some(signal) if signal != 0 => format!("{reason}, signal {signal}"),
        Some(_) | None => format!("{reason}, exit code {}", end.exit_code),
    }
}

fn early_termination(pod: &Pod) -> Option<String> {
    let (_, end) = last(pod)?;
    let how = describe(end);
    let node = node_name(pod);
    Some(match count(pod) {
        1 => format!("the agent on {node} exited once before it was ready: {how}"),
        ends => format!(
            "the agent on {node} exited {ends} times before it was ready, most recently: {how}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::kubernetes::fixture::{agent, event, snapshot};

    /// The failure if the cell's pods and events are these now.
    fn failure(terminations: &Terminations, pods: &[Value], events: &[Value]) -> Option<Failure> {
        terminations.failure(&snapshot(pods, events))
    }

    /// The agent `a` became ready, and may not terminate.
    fn ready() -> Terminations {
        Terminations::new(&snapshot(&[agent("a", 0)], &[]), 0)
    }

    /// The agent `a` after its first process has ended.
    fn down(end: &Value) -> Value {
        let mut pod = agent("a", 0);
        pod["status"]["containerStatuses"][0]["state"] = json!({"terminated": end});
        pod
    }

    #[tokio::test(start_paused = true)]
    async fn a_liveness_probe_counts_as_run_after_its_delay_period_and_timeout() {
        let unprobed = |probe: &Value, seconds| {
            let mut pod = agent("a", 0);
            pod["spec"]["containers"][0]["livenessProbe"] = probe.clone();
            let ready = snapshot(&[pod], &[]);
            let now = Instant::now() + Duration::from_secs(seconds);
            let unprobed = Terminations::new(&ready, 0).unprobed(&ready, now);
            unprobed.first().map(|unprobed| unprobed.within.as_secs())
        };
        let probe = json!({"initialDelaySeconds": 20, "periodSeconds": 5, "timeoutSeconds": 2});
        assert_eq!(unprobed(&probe, 0), Some(27));
        assert_eq!(unprobed(&probe, 26), Some(1));
        assert_eq!(unprobed(&probe, 27), None);
        assert_eq!(unprobed(&json!({"periodSeconds": 1}), 0), Some(2));
        assert_eq!(unprobed(&json!({}), 0), Some(11));
        assert_eq!(unprobed(&Value::Null, 0), None);
    }

    #[test]
    fn a_single_termination_after_readiness_fails_regardless_of_its_exit_code() {
        let terminations = Terminations::new(&snapshot(&[agent("a", 1)], &[]), 0);
        assert_eq!(
            terminations.early_ends(),
            ["the agent on worker exited once before it was ready: Completed, exit code 0"]
        );
        assert_eq!(failure(&terminations, &[agent("a", 1)], &[]), None);
        let exited = failure(&terminations, &[agent("a", 2)], &[]).unwrap();
        assert_eq!(exited.symptom, Symptom::AgentCrashed);
        assert_eq!(exited.evidence[0].node.as_deref(), Some("worker"));
        let killed = down(&json!({"exitCode": 137, "signal": 9, "reason": "Error"}));
        let killed = failure(&ready(), &[killed], &[]).unwrap();
        assert!(killed.message.contains("signal 9"), "{killed}");
    }

    #[test]
    fn a_kill_because_of_a_failed_liveness_probe_is_not_a_crash() {
        let mut killed = agent("a", 1);
        killed["status"]["containerStatuses"][0]["lastState"]["terminated"]["startedAt"] =
            json!("2026-01-01T00:00:10Z");
        let failure = |at: &str| {
            let mut killing = event("Container c failed liveness probe, will be restarted", 1);
            killing["lastTimestamp"] = json!(at);
            let events = [event("Liveness probe failed: refused", 3), killing];
            failure(&ready(), std::slice::from_ref(&killed), &events).unwrap()
        };
        let of_this_process = failure("2026-01-01T00:00:20Z");
        assert_eq!(of_this_process.symptom, Symptom::AgentUnhealthy);
        assert_eq!(
            of_this_process.message,
            "the agent on worker was killed after it became ready (Completed, exit code 0): Liveness probe failed: refused"
        );
        let of_an_earlier_process = failure("2026-01-01T00:00:09Z");
        assert_eq!(of_an_earlier_process.symptom, Symptom::AgentCrashed);
    }

    #[test]
    fn a_kill_because_of_the_memory_limit_is_not_a_crash() {
        let mut pod = down(&json!({"exitCode": 137, "reason": "OOMKilled"}));
        let limited = failure(&ready(), std::slice::from_ref(&pod), &[]).unwrap();
        assert_eq!(limited.symptom, Symptom::AgentOutOfMemory);
        assert_eq!(
            limited.message,
            "the agent on worker was killed after it became ready (OOMKilled, exit code 137): it used more memory than its limit"
        );
        pod["spec"]["containers"][0]["resources"] = json!({});
        let unlimited = failure(&ready(), &[pod], &[]).unwrap();
        assert_eq!(unlimited.symptom, Symptom::NodePressure);
        assert_eq!(
            unlimited.message,
            "the agent on worker was killed after it became ready (OOMKilled, exit code 137): its node had no memory left"
        );
    }

    #[test]
    fn an_eviction_because_of_the_node_is_not_a_crash() {
        let of_node = "The node was low on resource: memory.";
        let mut evicted = down(&json!({"exitCode": 137, "reason": "Error"}));
        evicted["status"]["phase"] = json!("Failed");
        evicted["status"]["reason"] = json!("Evicted");
        evicted["status"]["message"] = json!(of_node);
        let symptom = failure(&ready(), &[evicted], &[]).unwrap().symptom;
        assert_eq!(symptom, Symptom::NodePressure);
        let replaced = |why: &str| {
            let mut eviction = event(why, 1);
            eviction["reason"] = json!("Evicted");
            let failure = failure(&ready(), &[agent("b", 0)], &[eviction]);
            failure.unwrap().symptom
        };
        assert_eq!(replaced(of_node), Symptom::NodePressure);
        let of_pod = "Container c exceeded its local ephemeral storage limit \"1Mi\".";
        assert_eq!(replaced(of_pod), Symptom::AgentCrashed);
    }

    #[test]
    fn a_deletion_that_kubernetes_explains_is_not_a_crash() {
        let leaving = |reason: &str, why: &str| {
            let mut leaving = agent("a", 0);
            leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            leaving["status"]["conditions"] = json!([
                {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": why},
            ]);
            failure(&ready(), &[leaving], &[]).unwrap()
        };
        let drained = leaving("EvictionByEvictionAPI", "Eviction API: evicting");
        assert_eq!(drained.symptom, Symptom::NodeNotReady);
        assert_eq!(
            drained.message,
            "Kubernetes deleted the agent's pod on worker after it became ready: Eviction API: evicting"
        );
        let preempted = leaving("PreemptionByScheduler", "preempting");
        assert_eq!(preempted.symptom, Symptom::NodePressure);
        let without_node = ready().failure(&Snapshot::default()).unwrap();
        assert_eq!(without_node.symptom, Symptom::NodeNotReady);
    }

    #[test]
    fn the_exits_and_the_liveness_probe_of_a_sidecar_count() {
        let sidecar = |restarts: i32| {
            let mut pod = agent("a", 0);
            pod["spec"]["initContainers"] = json!([
                {"name": "proxy", "restartPolicy": "Always", "livenessProbe": {"periodSeconds": 30}},
                {"name": "prepare"},
            ]);
            let status = |name: &str, restarts: i32| {
                let mut status = agent("a", restarts)["status"]["containerStatuses"][0].take();
                status["name"] = json!(name);
                status
            };
            pod["status"]["initContainerStatuses"] =
                json!([status("proxy", restarts), status("prepare", restarts + 7)]);
            snapshot(&[pod], &[])
        };
        let terminations = Terminations::new(&sidecar(1), 1);
        assert!(terminations.failure(&sidecar(2)).is_none());
        let failure = terminations.failure(&sidecar(3)).unwrap();
        assert_eq!(failure.symptom, Symptom::AgentCrashed);
        let unprobed = terminations.unprobed(&sidecar(1), Instant::now());
        let names = ["c", "proxy"].map(str::to_owned);
        assert_eq!(unprobed[0].containers, BTreeSet::from(names));
    }

    #[test]
    fn only_the_suite_may_delete_a_pod() {
        let terminations = ready();
        let gone = failure(&terminations, &[agent("b", 0)], &[]).unwrap();
        let why = "something other than the suite";
        assert!(gone.message.contains(why), "{gone}");
        terminations.forget(&[NodeName::new("worker")]);
        let mut deleted = agent("a", 4);
        deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let replaced = [deleted, agent("b", 0)];
        assert_eq!(failure(&terminations, &replaced, &[]), None);
        assert!(failure(&terminations, &[agent("b", 1)], &[]).is_some());
        terminations.track(&snapshot(&[agent("b", 0)], &[]));
        assert!(failure(&terminations, &[], &[]).is_some());
    }

    #[test]
    fn the_matrix_file_can_allow_terminations() {
        let terminations = Terminations::new(&snapshot(&[agent("a", 0)], &[]), 2);
        let ended = |ends| failure(&terminations, &[agent("a", ends)], &[]).is_some();
        assert!(!ended(2));
        assert!(ended(3));
    }
}
