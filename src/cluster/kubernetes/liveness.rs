//! Pure functions that find liveness probes that haven't run yet or keep failing, kills because of a failed probe, and
//! other warnings about the agents.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod, Probe};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use tokio::time::Instant;

use super::health::node_name;
use super::pods::Owner;
use super::watch::Snapshot;
use crate::event::{Evidence, Failure, Symptom};

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
    /// The agent of `pod`, which was ready at `ready_at`, if its liveness probe may not have run by `now`. Kubernetes
    /// reports only a probe's failures, so this is an estimate, which assumes that the container started at `ready_at`.
    pub(super) fn of(pod: &Pod, ready_at: Instant, now: Instant) -> Option<Self> {
        let uid = pod.uid()?;
        let first = liveness_probes(pod).map(|(_, probe)| first_result(probe));
        let within = (ready_at + first.max()?).checked_duration_since(now)?;
        let containers = liveness_probes(pod).map(|(name, _)| name.to_owned());
        (!within.is_zero()).then(|| Self {
            node: node_name(pod).to_owned(),
            uid,
            containers: containers.collect(),
            within,
        })
    }

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
    /// The longest time until the next result of a probe.
    cycle: Duration,
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

    /// The longest time until the next result of a probe; `None` if the probes have never failed.
    pub(crate) fn failing_cycle(&self) -> Option<Duration> {
        (self.failures() > 0).then_some(self.cycle)
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
pub(crate) fn states(snapshot: &Snapshot) -> Vec<Liveness> {
    let state = |pod: &Pod| {
        let cycles = liveness_probes(pod).map(|(_, probe)| cycle(probe));
        let failures: Vec<_> = events_with(snapshot, pod, LIVENESS_FAILED).collect();
        Some(Liveness {
            node: node_name(pod).to_owned(),
            uid: pod.uid()?,
            cycle: cycles.max()?,
            reported: failures.iter().copied().map(occurrences).sum(),
            counted: None,
            why: newest(failures.into_iter()).map(described),
        })
    };
    snapshot.pods_of(Owner::Agent).filter_map(state).collect()
}

const LIVENESS_FAILED: &str = "Liveness probe failed";
const STARTUP_FAILED: &str = "Startup probe failed";

/// The events about `pod` whose messages contain `words`. The message of an event that combines similar ones has a
/// prefix.
fn events_with<'s>(
    snapshot: &'s Snapshot,
    pod: &Pod,
    words: &str,
) -> impl Iterator<Item = &'s Event> {
    let events = snapshot.events_about(pod.metadata.uid.as_deref());
    events.filter(move |event| message(event).contains(words))
}

/// The message of the failed probe that made the kubelet kill a process of `pod`, according to an event that isn't
/// older than `since`, a time of the node's clock.
pub(super) fn killed_by_probe<'s>(
    snapshot: &'s Snapshot,
    pod: &Pod,
    since: Option<&Time>,
) -> Option<&'s str> {
    let kills = [
        ("failed liveness probe", LIVENESS_FAILED),
        ("failed startup probe", STARTUP_FAILED),
    ];
    kills.into_iter().find_map(|(why, failed)| {
        let kill = newest(events_with(snapshot, pod, why))?;
        let failure = newest(events_with(snapshot, pod, failed)).unwrap_or(kill);
        (kill.last_timestamp.as_ref() >= since).then(|| message(failure))
    })
}

/// The event that occurred last.
fn newest<'s>(events: impl Iterator<Item = &'s Event>) -> Option<&'s Event> {
    events.max_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0))
}

/// The message of an event.
pub(super) fn message(event: &Event) -> &str {
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
        let pod = snapshot
            .pods_of(Owner::Agent)
            .find(|pod| pod.metadata.uid.as_deref() == Some(uid))?;
        let text = message(event);
        let is_normal = text.contains(STARTUP_FAILED) || text.contains("failed to sync");
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
/// The kubelet's default for `timeoutSeconds`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

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

/// The longest time from one result of a probe to the next.
fn cycle(probe: &Probe) -> Duration {
    let period = seconds(probe.period_seconds).unwrap_or(DEFAULT_PERIOD);
    period + seconds(probe.timeout_seconds).unwrap_or(DEFAULT_TIMEOUT)
}

/// The longest time from the start of a container to the first result of its probe.
fn first_result(probe: &Probe) -> Duration {
    seconds(probe.initial_delay_seconds).unwrap_or_default() + cycle(probe)
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
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::kubernetes::fixture::{agent, event, snapshot};

    #[test]
    fn a_liveness_probe_that_keeps_failing_is_a_failure_and_a_recovered_one_is_a_warning() {
        let seen = |count| {
            let events = [
                event("Liveness probe failed: refused", count),
                event("Readiness probe failed: refused", 1),
                event("Startup probe failed: refused", 4),
            ];
            snapshot(&[agent("a", 0)], &events)
        };
        let failure = |before, after| unhealthy(&states(&seen(before)), &states(&seen(after)));
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
        let seen = |text: &str, count| {
            let combined = format!("(combined from similar events): {text}");
            snapshot(&[agent("a", 0)], &[event(&combined, count)])
        };
        let failing = |count| states(&seen("Liveness probe failed: refused", count));
        let failure = unhealthy(&failing(2), &failing(3)).unwrap();
        assert_eq!(failure.symptom, Symptom::AgentUnhealthy);
        let startup = seen("Startup probe failed: refused", 4);
        assert_eq!(warnings(&startup), [] as [String; 0]);
    }

    #[test]
    fn a_liveness_failure_counts_even_if_the_kubelet_creates_no_more_events() {
        let seen = |events: &[Value], counted| {
            let mut seen = states(&snapshot(&[agent("a", 0)], events));
            seen[0].counted = counted;
            seen
        };
        let old = [event("Liveness probe failed: refused", 9)];
        let failure = unhealthy(&seen(&old, Some(30)), &seen(&old, Some(31))).unwrap();
        assert_eq!(
            failure.message,
            "the agent on worker is about to be killed: Unhealthy: Liveness probe failed: refused (31 times)"
        );
        let failure = unhealthy(&seen(&[], Some(1)), &seen(&[], Some(2))).unwrap();
        assert_eq!(
            failure.message,
            "the agent on worker is about to be killed: its liveness probe has failed 2 times"
        );
        for (before, after) in [(Some(1), Some(1)), (Some(0), Some(1)), (None, Some(1))] {
            let failure = unhealthy(&seen(&[], before), &seen(&[], after));
            assert!(failure.is_none(), "{before:?} {after:?}");
        }
        let late = unhealthy(&seen(&[], Some(1)), &seen(&old, Some(1)));
        assert!(late.is_none(), "the event was stored later than the metric");
        let warning = |events: &[Value], counted| seen(events, counted)[0].sentence();
        assert!(warning(&[], Some(1)).is_some());
        assert!(warning(&old, Some(1)).is_none(), "the event is a warning");
        assert!(warning(&[], Some(0)).is_none());
    }

    #[test]
    fn the_next_result_of_a_failing_probe_may_take_its_period_and_its_timeout() {
        let mut pod = agent("a", 0);
        pod["spec"]["containers"][0]["livenessProbe"] =
            json!({"periodSeconds": 5, "timeoutSeconds": 4});
        let events = [event("Liveness probe failed: slow", 1)];
        let states = states(&snapshot(&[pod], &events));
        assert_eq!(states[0].failing_cycle(), Some(Duration::from_secs(9)));
    }
}
