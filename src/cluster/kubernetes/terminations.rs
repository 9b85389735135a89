//! Pure functions that find terminations of the agents' processes that the suite didn't cause, and processes that the
//! kubelet is about to kill.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Event, Pod, PodCondition, Probe};
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::health::{
    evicted, is_out_of_memory, node_name, of_eviction, out_of_memory, statuses, terminated,
    terminations,
};
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
        let is_deleted =
            |baseline: &Baseline| nodes.iter().any(|node| node.as_str() == baseline.node);
        self.baselines
            .lock()
            .retain(|_, baseline| !is_deleted(baseline));
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

    /// The agents whose liveness probe may not have run by `now`. Kubernetes reports only a probe's failures, so this
    /// is estimated from the time since readiness, because the container had started by then.
    pub(crate) fn unprobed(&self, snapshot: &Snapshot, now: Instant) -> Vec<Unprobed> {
        let known = self.baselines.lock();
        let unprobed = |pod: &Pod| {
            let uid = pod.uid()?;
            let baseline = known.get(&uid)?;
            let first = liveness_probes(pod).map(|(_, probe)| first_result(probe));
            let within = (baseline.ready_at + first.max()?).checked_duration_since(now)?;
            (!within.is_zero()).then(|| Unprobed {
                node: baseline.node.clone(),
                uid,
                containers: liveness_probes(pod)
                    .map(|(name, _)| name.to_owned())
                    .collect(),
                within,
            })
        };
        agents(snapshot).filter_map(unprobed).collect()
    }

    /// The terminations before readiness, one sentence per agent.
    pub(crate) fn early_ends(&self) -> Vec<String> {
        self.early.clone()
    }

    /// The failure if the containers of an agent terminated more often since readiness than allowed, or if something
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
        let probe = end.and_then(|end| failed_liveness_probe(snapshot, pod, end));
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
        let (expected, seen) = (format!("<= {}", self.allowed), since(pod));
        let evidence = Evidence::new(subject, expected, format!("{seen} ({how})"), false);
        Some(Failure::new(symptom, message).with_evidence([evidence.on(Some(node))]))
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
    let mut events = snapshot.events.iter();
    let event = events.find(|event| {
        event.involved_object.uid.as_deref() == Some(uid)
            && event.reason.as_deref() == Some("Evicted")
    })?;
    Some(message(event))
}

/// The condition of the pod `uid` that says why Kubernetes itself deletes it, for example because its node is drained.
fn disruption<'s>(snapshot: &'s Snapshot, uid: &str) -> Option<&'s PodCondition> {
    let mut pods = snapshot.pods.iter();
    let pod = pods.find(|pod| pod.metadata.uid.as_deref() == Some(uid))?;
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")
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

/// If the kubelet killed a process of `pod` because of a failed liveness probe, the probe's message. `end` is the
/// termination of that process. All compared times are from the node's clock.
fn failed_liveness_probe<'a>(
    snapshot: &'a Snapshot,
    pod: &Pod,
    end: &ContainerStateTerminated,
) -> Option<&'a str> {
    let killing = snapshot.events.iter().find(|event| {
        event.involved_object.uid == pod.metadata.uid
            && event.reason.as_deref() == Some("Killing")
            && message(event).contains("failed liveness probe")
            && event.last_timestamp >= end.started_at
    })?;
    let newest = newest(liveness_failures(snapshot, pod));
    Some(message(newest.unwrap_or(killing)))
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

/// An agent whose liveness probe may not have run yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unprobed {
    pub(crate) node: String,
    /// The pod's UID.
    pub(crate) uid: String,
    /// The pod's containers that have a liveness probe.
    pub(crate) containers: BTreeSet<String>,
    /// The longest time from now until the probe's first result is known.
    pub(crate) within: Duration,
}

impl Unprobed {
    /// The warning for reports if the cell doesn't wait for the first result.
    pub(crate) fn sentence(&self) -> String {
        let Self { node, within, .. } = self;
        let seconds = within.as_secs();
        format!(
            "the liveness probe of the agent on {node} was not checked: its first run may be up to {seconds} s after the end of \
             the cell"
        )
    }
}

/// The liveness probes of an agent's containers, at one moment.
#[derive(Debug)]
pub(crate) struct Liveness {
    pub(crate) node: String,
    /// The pod's UID.
    pub(crate) uid: String,
    /// The longest period of the probes.
    period: Duration,
    /// How many times they have failed, according to the pod's events. The kubelet limits the number of events.
    reported: u64,
    /// How many times they have failed, according to the kubelet's metrics; `None` if these aren't known.
    pub(crate) counted: Option<u64>,
    /// The newest event about a failure.
    why: Option<String>,
}

impl Liveness {
    fn failures(&self) -> u64 {
        self.counted.unwrap_or(self.reported)
    }

    /// The longest period of the probes; `None` if they have never failed.
    pub(crate) fn failing_period(&self) -> Option<Duration> {
        (self.failures() > 0).then_some(self.period)
    }

    /// The warning for reports if the probes have failed and no event says so.
    pub(crate) fn sentence(&self) -> Option<String> {
        let is_unreported = self.failures() > 0 && self.why.is_none();
        is_unreported.then(|| {
            let node = &self.node;
            format!("the agent on {node}: its liveness probe has failed, but no event says why")
        })
    }

    fn describe(&self) -> String {
        let count = self.failures();
        match &self.why {
            Some(why) => format!("{why} ({count} times)"),
            None => format!("its liveness probe has failed {count} times"),
        }
    }

    /// Whether the probes had failed at the time of the `earlier` state, and have failed again since then.
    fn failed_again_since(&self, earlier: &Self) -> bool {
        let counted = self.counted.zip(earlier.counted);
        let (now, before) = counted.unwrap_or((self.reported, earlier.reported));
        now > before && before > 0
    }
}

/// The state of the liveness probes of each current agent that has any, without the kubelets' metrics.
pub(crate) fn liveness(snapshot: &Snapshot) -> Vec<Liveness> {
    let state = |pod: &Pod| {
        let period = liveness_probes(pod).map(|(_, probe)| period(probe)).max()?;
        let counts = liveness_failures(snapshot, pod).map(occurrences);
        Some(Liveness {
            node: node_name(pod).to_owned(),
            uid: pod.uid()?,
            period,
            reported: counts.sum(),
            counted: None,
            why: newest(liveness_failures(snapshot, pod)).map(described),
        })
    };
    agents(snapshot).filter_map(state).collect()
}

/// The events about failed liveness probes of `pod`. The message of an event that combines similar ones has a prefix.
fn liveness_failures<'s>(snapshot: &'s Snapshot, pod: &Pod) -> impl Iterator<Item = &'s Event> {
    let uid = pod.uid();
    let events = snapshot.events.iter().map(AsRef::as_ref);
    events.filter(move |event: &&Event| {
        event.involved_object.uid == uid && message(event).contains("Liveness probe failed")
    })
}

fn newest<'s>(events: impl Iterator<Item = &'s Event>) -> Option<&'s Event> {
    events.max_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0))
}

fn message(event: &Event) -> &str {
    event.message.as_deref().unwrap_or_default().trim()
}

fn described(event: &Event) -> String {
    let reason = event.reason.as_deref().unwrap_or_default();
    format!("{reason}: {}", message(event))
}

/// How many times an event has occurred.
fn occurrences(event: &Event) -> u64 {
    u64::try_from(event.count.unwrap_or(1)).unwrap_or_default()
}

/// The warnings in the events of the current agents, for reports. Failed startup probes and messages about stale caches
/// are omitted, because they are part of a normal start.
pub(crate) fn warnings(snapshot: &Snapshot) -> Vec<String> {
    let warning = |event: &Event| {
        let uid = event.involved_object.uid.as_deref()?;
        let pod = agents(snapshot).find(|pod| pod.metadata.uid.as_deref() == Some(uid))?;
        let text = message(event);
        let is_normal = text.contains("Startup probe failed") || text.contains("failed to sync");
        if event.type_.as_deref() != Some("Warning") || is_normal {
            return None;
        }
        let (node, text) = (node_name(pod), described(event));
        Some(match occurrences(event) {
            ..=1 => format!("the agent on {node}: {text}"),
            count => format!("the agent on {node}: {text} ({count} times)"),
        })
    };
    let events = snapshot.events.iter().map(AsRef::as_ref);
    events.filter_map(warning).collect()
}

/// The kubelet's default for `periodSeconds`.
const DEFAULT_PERIOD: Duration = Duration::from_secs(10);

/// The liveness probes of the pod's containers, with the containers' names. Of the init containers, only sidecars can
/// have probes.
fn liveness_probes(pod: &Pod) -> impl Iterator<Item = (&str, &Probe)> {
    let containers = pod.spec.iter().flat_map(|spec| {
        let init = spec.init_containers.iter().flatten();
        init.chain(&spec.containers)
    });
    containers.filter_map(|container| {
        let probe = container.liveness_probe.as_ref()?;
        Some((container.name.as_str(), probe))
    })
}

fn seconds(number: Option<i32>) -> Option<Duration> {
    number
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs)
}

fn period(probe: &Probe) -> Duration {
    seconds(probe.period_seconds).unwrap_or(DEFAULT_PERIOD)
}

/// The longest time from the start of a container to the first result of its probe. The kubelet's default timeout is
/// 1 s.
fn first_result(probe: &Probe) -> Duration {
    let delay = seconds(probe.initial_delay_seconds).unwrap_or_default();
    let timeout = seconds(probe.timeout_seconds).unwrap_or(Duration::from_secs(1));
    delay + period(probe) + timeout
}

/// The failure if the liveness probes of an agent had failed `before`, and have failed again in the state `after`.
pub(crate) fn unhealthy(before: &[Liveness], after: &[Liveness]) -> Option<Failure> {
    let is_failing = |now: &&Liveness| {
        let earlier = before.iter().find(|earlier| earlier.uid == now.uid);
        earlier.is_some_and(|earlier| now.failed_again_since(earlier))
    };
    let row = |now: &Liveness| {
        let evidence = Evidence::new("liveness probe", "succeeds", now.describe(), false);
        evidence.on(Some(&now.node))
    };
    let rows: Vec<_> = after.iter().filter(is_failing).map(row).collect();
    let first = rows.first()?;
    let node = first.node.as_deref().unwrap_or_default();
    let message = format!("the agent on {node} is about to be killed: {}", first.seen);
    Some(Failure::new(Symptom::AgentUnhealthy, message).with_evidence(rows))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn snapshot(pods: &Value, events: &Value) -> Snapshot {
        let arcs = |value: &Value| value.as_array().cloned().unwrap_or_default();
        Snapshot {
            pods: arcs(pods)
                .into_iter()
                .map(|pod| Arc::new(serde_json::from_value(pod).unwrap()))
                .collect(),
            events: arcs(events)
                .into_iter()
                .map(|event| Arc::new(serde_json::from_value(event).unwrap()))
                .collect(),
            nodes: vec![Arc::new(
                serde_json::from_value(json!({"metadata": {"name": "worker"}})).unwrap(),
            )],
            ..Snapshot::default()
        }
    }

    fn agent(uid: &str, restarts: i32, state: &Value) -> Value {
        json!({
            "metadata": {"name": uid, "uid": uid, "labels": {"app.kubernetes.io/name": "plexd"}},
            "spec": {"nodeName": "worker", "containers": [
                {"name": "c", "livenessProbe": {"periodSeconds": 1}, "resources": {"limits": {"memory": "1Mi"}}},
            ]},
            "status": {"containerStatuses": [{
                "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": restarts,
                "state": state,
                "lastState": {"terminated": {"exitCode": 0, "reason": "Completed"}},
            }]},
        })
    }

    fn running() -> Value {
        json!({"running": {}})
    }

    #[tokio::test(start_paused = true)]
    async fn a_liveness_probe_counts_as_run_after_its_delay_period_and_timeout() {
        let mut pod = agent("a", 0, &running());
        pod["spec"]["containers"][0]["livenessProbe"] =
            json!({"initialDelaySeconds": 20, "periodSeconds": 5, "timeoutSeconds": 2});
        let ready = snapshot(&json!([pod]), &json!([]));
        let terminations = Terminations::new(&ready, 0);
        let after = |seconds| {
            let now = Instant::now() + Duration::from_secs(seconds);
            let unprobed = terminations.unprobed(&ready, now);
            unprobed
                .iter()
                .map(|it| it.within.as_secs())
                .collect::<Vec<_>>()
        };
        assert_eq!(after(0), [27]);
        assert_eq!(after(26), [1]);
        assert_eq!(after(27), [] as [u64; 0]);
        let default = snapshot(&json!([agent("a", 0, &running())]), &json!([]));
        assert_eq!(
            terminations.unprobed(&default, Instant::now())[0]
                .within
                .as_secs(),
            2
        );
        pod["spec"]["containers"][0]["livenessProbe"] = json!({});
        let bare = snapshot(&json!([pod]), &json!([]));
        assert_eq!(
            terminations.unprobed(&bare, Instant::now())[0]
                .within
                .as_secs(),
            11
        );
        pod["spec"]["containers"][0]["livenessProbe"] = json!(null);
        let none = snapshot(&json!([pod]), &json!([]));
        assert_eq!(terminations.unprobed(&none, Instant::now()), []);
    }

    #[test]
    fn a_single_termination_after_readiness_fails_regardless_of_its_exit_code() {
        let ready = snapshot(&json!([agent("a", 1, &running())]), &json!([]));
        let terminations = Terminations::new(&ready, 0);
        assert_eq!(
            terminations.early_ends(),
            ["the agent on worker exited once before it was ready: Completed, exit code 0"]
        );
        assert!(terminations.failure(&ready).is_none());
        let again = snapshot(&json!([agent("a", 2, &running())]), &json!([]));
        let failure = terminations.failure(&again).unwrap();
        assert_eq!(failure.symptom, Symptom::AgentCrashed);
        assert_eq!(failure.evidence[0].node.as_deref(), Some("worker"));
        let killed = json!({"terminated": {"exitCode": 137, "signal": 9, "reason": "Error"}});
        let down = snapshot(&json!([agent("a", 1, &killed)]), &json!([]));
        let failure = terminations.failure(&down).unwrap();
        assert!(failure.message.contains("signal 9"), "{failure}");
    }

    #[test]
    fn a_kill_because_of_a_failed_liveness_probe_is_not_a_crash() {
        let ready = snapshot(&json!([agent("a", 0, &running())]), &json!([]));
        let terminations = Terminations::new(&ready, 0);
        let mut killed = agent("a", 1, &running());
        killed["status"]["containerStatuses"][0]["lastState"]["terminated"]["startedAt"] =
            json!("2026-01-01T00:00:10Z");
        let failure = |at: &str| {
            let mut killing = event("Container c failed liveness probe, will be restarted", 1);
            killing["type"] = json!("Normal");
            killing["reason"] = json!("Killing");
            killing["lastTimestamp"] = json!(at);
            let events = json!([event("Liveness probe failed: refused", 3), killing]);
            terminations
                .failure(&snapshot(&json!([killed]), &events))
                .unwrap()
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
        let ready = snapshot(&json!([agent("a", 0, &running())]), &json!([]));
        let terminations = Terminations::new(&ready, 0);
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let down = snapshot(&json!([agent("a", 0, &killed)]), &json!([]));
        let failure = terminations.failure(&down).unwrap();
        assert_eq!(failure.symptom, Symptom::AgentOutOfMemory);
        assert_eq!(
            failure.message,
            "the agent on worker was killed after it became ready (OOMKilled, exit code 137): it used more memory than its limit"
        );
        let mut unlimited = agent("a", 0, &killed);
        unlimited["spec"]["containers"][0]["resources"] = json!({});
        let failure = terminations.failure(&snapshot(&json!([unlimited]), &json!([])));
        let failure = failure.unwrap();
        assert_eq!(failure.symptom, Symptom::NodePressure);
        assert_eq!(
            failure.message,
            "the agent on worker was killed after it became ready (OOMKilled, exit code 137): its node had no memory left"
        );
    }

    #[test]
    fn an_eviction_because_of_the_node_is_not_a_crash() {
        let ready = snapshot(&json!([agent("a", 0, &running())]), &json!([]));
        let terminations = Terminations::new(&ready, 0);
        let killed = json!({"terminated": {"exitCode": 137, "reason": "Error"}});
        let mut evicted = agent("a", 0, &killed);
        evicted["status"]["phase"] = json!("Failed");
        evicted["status"]["reason"] = json!("Evicted");
        evicted["status"]["message"] = json!("The node was low on resource: memory.");
        let failure = terminations.failure(&snapshot(&json!([evicted]), &json!([])));
        assert_eq!(failure.unwrap().symptom, Symptom::NodePressure);
        let replaced = |why: &str| {
            let mut eviction = event(why, 1);
            eviction["reason"] = json!("Evicted");
            let pods = json!([agent("b", 0, &running())]);
            let failure = terminations.failure(&snapshot(&pods, &json!([eviction])));
            failure.unwrap().symptom
        };
        let why = "The node was low on resource: memory.";
        assert_eq!(replaced(why), Symptom::NodePressure);
        let why = "Container c exceeded its local ephemeral storage limit \"1Mi\".";
        assert_eq!(replaced(why), Symptom::AgentCrashed);
    }

    #[test]
    fn a_deletion_that_kubernetes_explains_is_not_a_crash() {
        let ready = snapshot(&json!([agent("a", 0, &running())]), &json!([]));
        let terminations = Terminations::new(&ready, 0);
        let failure = |reason: &str, why: &str| {
            let mut leaving = agent("a", 0, &running());
            leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            leaving["status"]["conditions"] = json!([
                {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": why},
            ]);
            let now = snapshot(&json!([leaving]), &json!([]));
            terminations.failure(&now).unwrap()
        };
        let drained = failure("EvictionByEvictionAPI", "Eviction API: evicting");
        assert_eq!(drained.symptom, Symptom::NodeNotReady);
        assert_eq!(
            drained.message,
            "Kubernetes deleted the agent's pod on worker after it became ready: Eviction API: evicting"
        );
        let preempted = failure("PreemptionByScheduler", "preempting");
        assert_eq!(preempted.symptom, Symptom::NodePressure);
        let without_node = Snapshot {
            nodes: Vec::new(),
            ..snapshot(&json!([]), &json!([]))
        };
        let failure = terminations.failure(&without_node).unwrap();
        assert_eq!(failure.symptom, Symptom::NodeNotReady);
    }

    #[test]
    fn the_exits_and_the_liveness_probe_of_a_sidecar_count() {
        let sidecar = |restarts: i32| {
            let mut pod = agent("a", 0, &running());
            pod["spec"]["initContainers"] = json!([
                {"name": "proxy", "restartPolicy": "Always", "livenessProbe": {"periodSeconds": 30}},
                {"name": "prepare"},
            ]);
            let status = |name: &str, restarts: i32| {
                let mut status =
                    agent("a", restarts, &running())["status"]["containerStatuses"][0].take();
                status["name"] = json!(name);
                status
            };
            pod["status"]["initContainerStatuses"] =
                json!([status("proxy", restarts), status("prepare", restarts + 7)]);
            snapshot(&json!([pod]), &json!([]))
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
        let ready = snapshot(&json!([agent("a", 3, &running())]), &json!([]));
        let terminations = Terminations::new(&ready, 0);
        let gone = terminations.failure(&snapshot(&json!([agent("b", 0, &running())]), &json!([])));
        assert!(
            gone.is_some_and(|failure| failure.message.contains("something other than the suite"))
        );
        terminations.forget(&[NodeName::new("worker")]);
        let mut deleted = agent("a", 4, &running());
        deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let replaced = json!([deleted, agent("b", 0, &running())]);
        assert!(
            terminations
                .failure(&snapshot(&replaced, &json!([])))
                .is_none()
        );
        let crashed = json!([agent("b", 1, &running())]);
        assert!(
            terminations
                .failure(&snapshot(&crashed, &json!([])))
                .is_some()
        );
        terminations.track(&snapshot(&json!([agent("b", 0, &running())]), &json!([])));
        assert!(
            terminations
                .failure(&snapshot(&json!([]), &json!([])))
                .is_some()
        );
    }

    #[test]
    fn the_matrix_file_can_allow_terminations() {
        let ready = snapshot(&json!([agent("a", 0, &running())]), &json!([]));
        let terminations = Terminations::new(&ready, 2);
        let ended = |ends| {
            let now = snapshot(&json!([agent("a", ends, &running())]), &json!([]));
            terminations.failure(&now).is_some()
        };
        assert!(!ended(2));
        assert!(ended(3));
    }

    fn event(message: &str, count: i32) -> Value {
        json!({
            "metadata": {"name": message, "namespace": "n"}, "type": "Warning", "reason": "Unhealthy",
            "involvedObject": {"kind": "Pod", "uid": "a"}, "message": message, "count": count,
        })
    }

    #[test]
    fn a_liveness_probe_that_keeps_failing_is_a_failure_and_a_recovered_one_is_a_warning() {
        let pods = json!([agent("a", 0, &running())]);
        let seen = |count| {
            let events = json!([
                event("Liveness probe failed: refused", count),
                event("Readiness probe failed: refused", 1),
                event("Startup probe failed: refused", 4),
            ]);
            snapshot(&pods, &events)
        };
        let failure = |before, after| unhealthy(&liveness(&seen(before)), &liveness(&seen(after)));
        let again = failure(2, 3).unwrap();
        assert_eq!(again.symptom, Symptom::AgentUnhealthy);
        assert!(again.message.contains("Liveness probe failed"));
        assert!(failure(2, 2).is_none());
        assert!(failure(0, 1).is_none(), "it has failed only once");
        assert_eq!(
            warnings(&seen(2)),
            [
                "the agent on worker: Unhealthy: Liveness probe failed: refused (2 times)",
                "the agent on worker: Unhealthy: Readiness probe failed: refused",
            ],
            "a startup probe may fail"
        );
    }

    #[test]
    fn a_liveness_failure_counts_even_if_its_event_is_combined_with_similar_ones() {
        let pods = json!([agent("a", 0, &running())]);
        let seen = |text: &str, count| {
            let combined = format!("(combined from similar events): {text}");
            snapshot(&pods, &json!([event(&combined, count)]))
        };
        let failing = |count| liveness(&seen("Liveness probe failed: refused", count));
        let failure = unhealthy(&failing(2), &failing(3)).unwrap();
        assert_eq!(failure.symptom, Symptom::AgentUnhealthy);
        let startup = seen("Startup probe failed: refused", 4);
        assert_eq!(warnings(&startup), [] as [String; 0]);
    }

    #[test]
    fn a_liveness_failure_counts_even_if_the_kubelet_creates_no_more_events() {
        let pods = json!([agent("a", 0, &running())]);
        let seen = |events: &Value, counted| {
            let mut seen = liveness(&snapshot(&pods, events));
            seen[0].counted = counted;
            seen
        };
        let old = json!([event("Liveness probe failed: refused", 9)]);
        let failure = unhealthy(&seen(&old, Some(30)), &seen(&old, Some(31))).unwrap();
        assert_eq!(
            failure.message,
            "the agent on worker is about to be killed: Unhealthy: Liveness probe failed: refused (31 times)"
        );
        let none = json!([]);
        let failure = unhealthy(&seen(&none, Some(1)), &seen(&none, Some(2))).unwrap();
        assert_eq!(
            failure.message,
            "the agent on worker is about to be killed: its liveness probe has failed 2 times"
        );
        for (before, after) in [(Some(1), Some(1)), (Some(0), Some(1)), (None, Some(1))] {
            let failure = unhealthy(&seen(&none, before), &seen(&none, after));
            assert!(failure.is_none(), "{before:?} {after:?}");
        }
        let late = unhealthy(&seen(&none, Some(1)), &seen(&old, Some(1)));
        assert!(late.is_none(), "the event was stored later than the metric");
        let warning = |events, counted| seen(events, counted)[0].sentence();
        assert!(warning(&none, Some(1)).is_some());
        assert!(warning(&old, Some(1)).is_none(), "the event is a warning");
        assert!(warning(&none, Some(0)).is_none());
    }
}
