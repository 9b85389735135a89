//! Whether the mock and the agents are ready: pure functions from the pods' statuses to evidence or a failure.

use std::collections::HashMap;

use super::health::{mock_failed, state_of};
use super::status::{PodStatus, Pods, agents, mock};
use crate::cluster::NodeName;
use crate::event::{Evidence, Failure, Symptom};

/// The result of checking a condition: evidence if it is met, a failure if it can no longer be met; `None` if it isn't
/// met yet.
pub(super) type Readiness = Option<Result<Vec<Evidence>, Failure>>;

/// Whether the mock is ready, or has failed permanently.
pub(super) fn mock_available(pods: &Pods) -> Readiness {
    let mock = mock(pods)?;
    if mock.has_failed() {
        return Some(Err(mock_failed(mock)));
    }
    mock.ready
        .then(|| Ok(vec![Evidence::new("mock", "ready", "ready", true)]))
}

/// The failure if the mock is not ready in time.
pub(super) fn mock_late(pods: &Pods) -> Failure {
    match mock(pods) {
        Some(mock) => mock_failed(mock),
        None => Failure::new(Symptom::MockUnavailable, "the mock was not started"),
    }
}

/// Evidence that an agent is ready on each of `nodes`; `None` if one is still missing.
pub(super) fn agents_ready(pods: &Pods, nodes: &[NodeName]) -> Option<Vec<Evidence>> {
    let desired = nodes.len();
    let ready = agents(pods).filter(|agent| agent.ready);
    let rows = ["desired", "updated", "ready"]
        .map(|word| Evidence::new(format!("agents {word}"), desired, desired, true));
    (ready.count() == desired).then(|| rows.into())
}

/// Whether the processes of all agents in `before` have ended, after their pods were deleted.
pub(super) fn have_ended(pods: &Pods, before: &[PodStatus]) -> bool {
    let now = |before: &PodStatus| pods.get(&before.pod.name);
    before.iter().filter_map(now).all(|pod| !pod.is_current())
}

/// Whether each agent in `before` was replaced by a new agent that is ready.
pub(super) fn agents_replaced(pods: &Pods, before: &[PodStatus]) -> Readiness {
    let ready = agents(pods).filter(|agent| agent.ready);
    let ready: HashMap<_, _> = ready.map(|agent| (&agent.pod.node, agent)).collect();
    let rows = before.iter().map(|before| {
        let now = ready.get(&before.pod.node)?;
        (now.pod.uid != before.pod.uid).then(|| replacement(before, now))
    });
    rows.collect::<Option<_>>().map(Ok)
}

/// Evidence that the agent `now` is a new one.
fn replacement(before: &PodStatus, now: &PodStatus) -> Evidence {
    let short = |status: &PodStatus| -> String { status.pod.uid.chars().take(8).collect() };
    let pid = now.pid.unwrap_or_default();
    let seen = format!("{}, ready (process {pid})", short(now));
    let expected = format!("not {}", short(before));
    Evidence::new("pod UID", expected, seen, true).on(Some(&now.pod.node))
}

/// The failure if the agents on `nodes` are not ready in time.
pub(super) fn agents_late(pods: &Pods, nodes: &[NodeName]) -> Failure {
    let missing = nodes.iter().filter_map(|node| {
        let seen = match agents(pods).find(|agent| agent.pod.node == *node) {
            Some(agent) if agent.ready => return None,
            Some(agent) => state_of(agent),
            None => "no agent was started".to_owned(),
        };
        Some(Evidence::new("agent", "ready", seen, false).on(Some(node)))
    });
    let rows: Vec<Evidence> = missing.collect();
    let node = |row: &Evidence| row.node.clone().unwrap_or_default();
    let message = match rows.as_slice() {
        [] => "the agents became ready only after the deadline".to_owned(),
        [only] => format!("the agent on {} is not ready: {}", node(only), only.seen),
        [first, ..] => format!(
            "{} agents are not ready, including the one on {}: {}",
            rows.len(),
            node(first),
            first.seen
        ),
    };
    Failure::new(Symptom::AgentNotReady, message).with_evidence(rows)
}
