//! The lives of the agents' processes: which ends the suite didn't cause, and which processes the kubelet is about to
//! kill. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Event, Pod, Probe};
use kube::ResourceExt;
use tokio::time::Instant;

use super::health::{alive, crashes, place, terminated};
use super::pods::Owner;
use super::watch::Snapshot;
use crate::cluster::NodeName;
use crate::event::{Evidence, Failure, Symptom};

/// How often the containers of each agent pod had ended when the agents became ready, and how often they may end after
/// that.
#[derive(Debug)]
pub(crate) struct Lives {
    /// The pods that must not be deleted, by UID.
    known: Mutex<BTreeMap<String, Life>>,
    allowed: u32,
    early: Vec<String>,
}

/// An agent's pod at the time when it became ready.
#[derive(Debug)]
struct Life {
    node: String,
    /// How often its containers had ended.
    ends: i32,
    /// When it was seen to be ready, according to this machine's clock.
    since: Instant,
}

impl Lives {
    /// The lives of the agents that are ready in `snapshot`; `allowed` more ends per pod don't fail the cell.
    pub(crate) fn of(snapshot: &Snapshot, allowed: u32) -> Self {
        Self {
            known: Mutex::new(lives(snapshot).collect()),
            allowed,
            early: agents(snapshot).filter_map(early_end).collect(),
        }
    }

    /// Announces that the suite is about to delete the agents of `nodes`.
    pub(crate) fn release(&self, nodes: &[NodeName]) {
        let is_deleted = |life: &Life| nodes.iter().any(|node| node.as_str() == life.node);
        self.known().retain(|_, life| !is_deleted(life));
    }

    /// Adds the agents that replaced deleted ones and are ready.
    pub(crate) fn adopt(&self, snapshot: &Snapshot) {
        let mut known = self.known();
        for (uid, life) in lives(snapshot) {
            // Earlier ends have been checked already.
            known.entry(uid).or_insert(life);
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Life>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agents whose liveness probe may not have run yet `now`. Kubernetes reports only failures of a probe, so the
    /// time since readiness decides, by which the container has started.
    pub(crate) fn unprobed(&self, snapshot: &Snapshot, now: Instant) -> Vec<Unprobed> {
        let known = self.known();
        let unprobed = |pod: &Pod| {
            let uid = pod.uid()?;
            let life = known.get(&uid)?;
            let first = liveness_probes(pod).map(|(_, probe)| first_result(probe));
            let within = (life.since + first.max()?).checked_duration_since(now)?;
            (!within.is_zero()).then(|| Unprobed {
                node: life.node.clone(),
                uid,
                containers: liveness_probes(pod)
                    .map(|(name, _)| name.to_owned())
                    .collect(),
                within,
            })
        };
        agents(snapshot).filter_map(unprobed).collect()
    }

    /// The ends before readiness, one sentence per agent.
    pub(crate) fn early_ends(&self) -> Vec<String> {
        self.early.clone()
    }

    /// The failure if the containers of an agent ended more often since readiness than allowed, or if something other
    /// than the suite deleted its pod.
    pub(crate) fn ended(&self, snapshot: &Snapshot) -> Option<Failure> {
        let known = self.known();
        let is_alive =
            |uid: &str| agents(snapshot).any(|pod| pod.metadata.uid.as_deref() == Some(uid));
        if let Some((_, life)) = known.iter().find(|(uid, _)| !is_alive(uid)) {
            return Some(deleted(&life.node));
        }
        let since = |pod: &Pod| {
            // A pod that replaces a deleted one has no earlier life.
            let before = known.get(&pod.uid().unwrap_or_default());
            let before = before.map_or(0, |life| life.ends);
            u32::try_from(ends(pod) - before).unwrap_or_default()
        };
        let pod = agents(snapshot).find(|pod| since(pod) > self.allowed)?;
        let (how, at) = last_end(pod).map_or_else(Default::default, |end| {
            let at = end.finished_at.as_ref();
            let at = at.map_or_else(String::new, |at| format!(" at {}", at.0));
            (in_words(end), at)
        });
        let node = place(pod);
        let message = format!("the agent on {node} ended after it was ready: {how}{at}");
        let subject = "ends of the agent's containers since readiness";
        let (expected, seen) = (format!("<= {}", self.allowed), since(pod));
        let evidence = Evidence::new(subject, expected, format!("{seen} ({how})"), false);
        Some(Failure::new(Symptom::AgentCrashed, message).with_evidence([evidence.on(Some(node))]))
    }
}

/// The agents that are ready now.
fn lives(snapshot: &Snapshot) -> impl Iterator<Item = (String, Life)> {
    let since = Instant::now();
    agents(snapshot).map(move |pod| {
        let life = Life {
            node: place(pod).to_owned(),
            ends: ends(pod),
            since,
        };
        (pod.uid().unwrap_or_default(), life)
    })
}

fn deleted(node: &str) -> Failure {
    let message =
        format!("the agent's pod on {node} was deleted after it was ready, and not by the suite");
    let evidence = Evidence::new("agent pod", "stays", "deleted", false).on(Some(node));
    Failure::new(Symptom::AgentCrashed, message).with_evidence([evidence])
}

fn agents(snapshot: &Snapshot) -> impl Iterator<Item = &Pod> {
    alive(&snapshot.pods).filter(|pod| snapshot.workloads.owner(pod) == Owner::Agent)
}

/// Init containers end when they are done, so only the others count.
fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| status.container_statuses.iter().flatten())
}

fn ends(pod: &Pod) -> i32 {
    containers(pod).filter_map(crashes).sum()
}

fn last_end(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let ends = containers(pod).filter_map(|status| terminated(status).next());
    ends.max_by_key(|end| end.finished_at.as_ref().map(|at| at.0))
}

fn in_words(end: &ContainerStateTerminated) -> String {
    let reason = end.reason.as_deref().unwrap_or("Error");
    match end.signal {
        Some(signal) if signal != 0 => format!("{reason}, signal {signal}"),
        Some(_) | None => format!("{reason}, exit code {}", end.exit_code),
    }
}

fn early_end(pod: &Pod) -> Option<String> {
    let how = in_words(last_end(pod)?);
    let node = place(pod);
    Some(match ends(pod) {
        1 => format!("the agent on {node} ended once before it was ready: {how}"),
        ends => format!("the agent on {node} ended {ends} times before it was ready, last: {how}"),
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
    /// By when its first result is known, counted from now.
    pub(crate) within: Duration,
}

impl Unprobed {
    /// The warning in reports if the first result isn't awaited.
    pub(crate) fn sentence(&self) -> String {
        let Self { node, within, .. } = self;
        let seconds = within.as_secs();
        format!(
            "the liveness probe of the agent on {node} was not checked: it runs for the first time up to {seconds} s after the \
             cell's end"
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
    /// How long until the liveness probe runs again; `None` if the warning is about something else.
    liveness: Option<Duration>,
}

impl Warning {
    /// How long until the liveness probe runs again; `None` if the warning is about something else.
    pub(crate) fn liveness(&self) -> Option<Duration> {
        self.liveness
    }

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

    /// Whether the event occurred again since `earlier`.
    fn has_grown_since(&self, earlier: &[Self]) -> bool {
        let same = |other: &&Self| other.uid == self.uid && other.text == self.text;
        earlier
            .iter()
            .find(same)
            .is_none_or(|earlier| self.count > earlier.count)
    }
}

/// The warnings in the events of the current agents. Failed startup probes and the messages of lagging caches are left
/// out, because they are part of a normal start.
pub(crate) fn warnings(snapshot: &Snapshot) -> Vec<Warning> {
    let warning = |event: &Event| {
        let uid = event.involved_object.uid.as_deref()?;
        let pod = agents(snapshot).find(|pod| pod.metadata.uid.as_deref() == Some(uid))?;
        let text = event.message.as_deref().unwrap_or_default().trim();
        let is_usual = text.starts_with("Startup probe failed") || text.contains("failed to sync");
        if event.type_.as_deref() != Some("Warning") || is_usual {
            return None;
        }
        let is_liveness = text.starts_with("Liveness probe failed");
        let reason = event.reason.as_deref().unwrap_or_default();
        Some(Warning {
            node: place(pod).to_owned(),
            uid: uid.to_owned(),
            count: event.count.unwrap_or(1),
            text: format!("{reason}: {text}"),
            liveness: is_liveness.then(|| liveness_period(pod)),
        })
    };
    let events = snapshot.events.iter();
    events.filter_map(|event| warning(event)).collect()
}

/// The kubelet's default.
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

/// How long after the start of a container the first result of the probe is known at the latest. The kubelet's default
/// timeout is 1 s.
fn first_result(probe: &Probe) -> Duration {
    let delay = seconds(probe.initial_delay_seconds).unwrap_or_default();
    let timeout = seconds(probe.timeout_seconds).unwrap_or(Duration::from_secs(1));
    delay + period(probe) + timeout
}

fn liveness_period(pod: &Pod) -> Duration {
    let periods = liveness_probes(pod).map(|(_, probe)| period(probe));
    periods.max().unwrap_or(DEFAULT_PERIOD)
}

/// The failure if a liveness probe that had failed `before` has failed again `after` its period.
pub(crate) fn unhealthy(before: &[Warning], after: &[Warning]) -> Option<Failure> {
    let is_failing =
        |warning: &&Warning| warning.liveness.is_some() && warning.has_grown_since(before);
    let rows: Vec<Evidence> = after
        .iter()
        .filter(is_failing)
        .map(|warning| {
            let seen = format!("{} ({} times)", warning.text, warning.count);
            Evidence::new("liveness probe", "succeeds", seen, false).on(Some(&warning.node))
        })
        .collect();
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
            ..Snapshot::default()
        }
    }

    fn agent(uid: &str, restarts: i32, state: &Value) -> Value {
        json!({
            "metadata": {"name": uid, "uid": uid, "labels": {"app.kubernetes.io/name": "plexd"}},
            "spec": {"nodeName": "worker", "containers": [
                {"name": "c", "livenessProbe": {"periodSeconds": 1}},
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
        let lives = Lives::of(&ready, 0);
        let after = |seconds| {
            let now = Instant::now() + Duration::from_secs(seconds);
            let unprobed = lives.unprobed(&ready, now);
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
            lives.unprobed(&default, Instant::now())[0].within.as_secs(),
            2
        );
        pod["spec"]["containers"][0]["livenessProbe"] = json!({});
        let bare = snapshot(&json!([pod]), &json!([]));
        assert_eq!(
            lives.unprobed(&bare, Instant::now())[0].within.as_secs(),
            11
        );
        pod["spec"]["containers"][0]["livenessProbe"] = json!(null);
        let none = snapshot(&json!([pod]), &json!([]));
        assert_eq!(lives.unprobed(&none, Instant::now()), []);
    }

    #[test]
    fn a_single_end_after_readiness_fails_whatever_its_exit_code() {
        let ready = snapshot(&json!([agent("a", 1, &running())]), &json!([]));
        let lives = Lives::of(&ready, 0);
        assert_eq!(
            lives.early_ends(),
            ["the agent on worker ended once before it was ready: Completed, exit code 0"]
        );
        assert!(lives.ended(&ready).is_none());
        let again = snapshot(&json!([agent("a", 2, &running())]), &json!([]));
        let failure = lives.ended(&again).unwrap();
        assert_eq!(failure.symptom, Symptom::AgentCrashed);
        assert_eq!(failure.evidence[0].node.as_deref(), Some("worker"));
        let killed = json!({"terminated": {"exitCode": 137, "signal": 9, "reason": "Error"}});
        let down = snapshot(&json!([agent("a", 1, &killed)]), &json!([]));
        let failure = lives.ended(&down).unwrap();
        assert!(failure.message.contains("signal 9"), "{failure}");
    }

    #[test]
    fn only_the_suite_may_delete_a_pod() {
        let ready = snapshot(&json!([agent("a", 3, &running())]), &json!([]));
        let lives = Lives::of(&ready, 0);
        let gone = lives.ended(&snapshot(&json!([agent("b", 0, &running())]), &json!([])));
        assert!(gone.is_some_and(|failure| failure.message.contains("not by the suite")));
        lives.release(&[NodeName::new("worker")]);
        let mut deleted = agent("a", 4, &running());
        deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let replaced = json!([deleted, agent("b", 0, &running())]);
        assert!(lives.ended(&snapshot(&replaced, &json!([]))).is_none());
        let crashed = json!([agent("b", 1, &running())]);
        assert!(lives.ended(&snapshot(&crashed, &json!([]))).is_some());
        lives.adopt(&snapshot(&json!([agent("b", 0, &running())]), &json!([])));
        assert!(lives.ended(&snapshot(&json!([]), &json!([]))).is_some());
    }

    #[test]
    fn the_matrix_file_can_allow_ends() {
        let ready = snapshot(&json!([agent("a", 0, &running())]), &json!([]));
        let lives = Lives::of(&ready, 2);
        let ended = |ends| {
            let now = snapshot(&json!([agent("a", ends, &running())]), &json!([]));
            lives.ended(&now).is_some()
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
