//! Pure functions that find terminations of the agents' processes that the suite didn't cause, and processes that the
//! kubelet is about to kill.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Event, Pod, Probe};
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::health::{
    evicted, is_out_of_memory, node_name, out_of_memory, statuses, terminated, terminations,
};
use super::pods::Owner;
use super::watch::Snapshot;
use crate::cluster::NodeName;
use crate::event::{Evidence, Failure, Symptom};

/// How often the containers of each agent pod had terminated when the agents became ready, and how often they may
/// terminate after that.
#[derive(Debug)]
pub(crate) struct Terminations {
    /// The pods that only the suite may delete, by UID.
    baselines: Mutex<BTreeMap<String, Baseline>>,
    /// How often the containers of a pod may terminate after readiness.
    allowed: u32,
    early: Vec<String>,
}

/// The state of an agent's pod when it became ready.
#[derive(Debug)]
struct Baseline {
    node: String,
    /// How often its containers had terminated.
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
        if let Some((_, baseline)) = known.iter().find(|(uid, _)| !is_alive(uid)) {
            return Some(deleted(&baseline.node));
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

fn deleted(node: &str) -> Failure {
    let message = format!(
        "something other than the suite deleted the agent's pod on {node} after it became ready"
    );
    let evidence = Evidence::new("agent pod", "not deleted", "deleted", false).on(Some(node));
    Failure::new(Symptom::AgentCrashed, message).with_evidence([evidence])
}

fn agents(snapshot: &Snapshot) -> impl Iterator<Item = &Pod> {
    snapshot.pods_of(Owner::Agent)
}

/// How often the containers of a pod have terminated. Init containers don't count, because they terminate when they are
/// done.
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
    let of_pod = |event: &&Arc<Event>| event.involved_object.uid == pod.metadata.uid;
    let events = || snapshot.events.iter().filter(of_pod);
    let message = |event: &'a Event| event.message.as_deref().unwrap_or_default().trim();
    let killing = events().find(|event| {
        event.reason.as_deref() == Some("Killing")
            && message(event).contains("failed liveness probe")
            && event.last_timestamp >= end.started_at
    })?;
    let mut failures = events().map(|event| message(event));
    Some(
        failures
            .rfind(|text| text.starts_with(LIVENESS_FAILED))
            .unwrap_or(message(killing)),
    )
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

/// A warning from the events of an agent's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    node: String,
    uid: String,
    /// How often the event occurred.
    count: i32,
    text: String,
    /// For a failed liveness probe, the period after which it runs again; `None` if the warning is about something
    /// else.
    pub(crate) liveness: Option<Duration>,
}

impl Warning {
    /// The text for reports.
    pub(crate) fn sentence(&self) -> String {
        let Self {
            node, count, text, ..
        } = self;
        match count {
            ..=1 => format!("the agent on {node}: {text}"),
            _ => format!("the agent on {node}: {text} ({count} times)"),
        }
    }

    /// Whether the event has occurred since the `earlier` warnings were collected.
    fn recurred_since(&self, earlier: &[Self]) -> bool {
        let same = |other: &&Self| other.uid == self.uid && other.text == self.text;
        let earlier = earlier.iter().find(same);
        earlier.is_none_or(|earlier| self.count > earlier.count)
    }
}

/// The warnings in the events of the current agents. Failed startup probes and messages about stale caches are omitted,
/// because they are part of a normal start.
pub(crate) fn warnings(snapshot: &Snapshot) -> Vec<Warning> {
    let warning = |event: &Event| {
        let uid = event.involved_object.uid.as_deref()?;
        let pod = agents(snapshot).find(|pod| pod.metadata.uid.as_deref() == Some(uid))?;
        let text = event.message.as_deref().unwrap_or_default().trim();
        let is_normal = text.starts_with("Startup probe failed") || text.contains("failed to sync");
        if event.type_.as_deref() != Some("Warning") || is_normal {
            return None;
        }
        let is_liveness = text.starts_with(LIVENESS_FAILED);
        let reason = event.reason.as_deref().unwrap_or_default();
        Some(Warning {
            node: node_name(pod).to_owned(),
            uid: uid.to_owned(),
            count: event.count.unwrap_or(1),
            text: format!("{reason}: {text}"),
            liveness: is_liveness.then(|| liveness_period(pod)),
        })
    };
    let events = snapshot.events.iter().map(AsRef::as_ref);
    events.filter_map(warning).collect()
}

/// How the kubelet's message about a failed liveness probe begins.
const LIVENESS_FAILED: &str = "Liveness probe failed";

/// The kubelet's default for `periodSeconds`.
const DEFAULT_PERIOD: Duration = Duration::from_secs(10);

/// The liveness probes of the pod's containers, with the containers' names.
fn liveness_probes(pod: &Pod) -> impl Iterator<Item = (&str, &Probe)> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
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

fn liveness_period(pod: &Pod) -> Duration {
    let periods = liveness_probes(pod).map(|(_, probe)| period(probe));
    periods.max().unwrap_or(DEFAULT_PERIOD)
}

/// The failure if a liveness probe has failed between the time of the warnings `before` and the time of those `after`.
pub(crate) fn unhealthy(before: &[Warning], after: &[Warning]) -> Option<Failure> {
    let is_failing =
        |warning: &&Warning| warning.liveness.is_some() && warning.recurred_since(before);
    let row = |warning: &Warning| {
        let seen = format!("{} ({} times)", warning.text, warning.count);
        Evidence::new("liveness probe", "succeeds", seen, false).on(Some(&warning.node))
    };
    let rows: Vec<_> = after.iter().filter(is_failing).map(row).collect();
    let first = rows.first()?;
    let node = first.node.as_deref().unwrap_or_default();
    let message = format!("the agent on {node} is about to be killed: {}", first.seen);
    Some(Failure::new(Symptom::AgentUnhealthy, message).with_evidence(rows))
}

#[cfg(test)]
mod tests {
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
            warnings(&snapshot(&pods, &events))
        };
        let failure = unhealthy(&seen(2), &seen(3)).unwrap();
        assert_eq!(failure.symptom, Symptom::AgentUnhealthy);
        assert!(failure.message.contains("Liveness probe failed"));
        assert!(unhealthy(&seen(2), &seen(2)).is_none());
        assert_eq!(seen(2).len(), 2, "a startup probe may fail");
    }
}
