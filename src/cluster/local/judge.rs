//! What the states of pods mean: pure functions from states to evidence or a failure.

use super::board::{PodStatus, Pods, Role, State, current};
use crate::cluster::NodeName;
use crate::event::{Evidence, Failure, Symptom};

/// The result for the current states; `None` if it is too early.
pub(super) type Verdict = Option<Result<Vec<Evidence>, Failure>>;

/// Whether the mock is ready, or ended.
pub(super) fn mock_available(pods: &Pods) -> Verdict {
    let (_, mock) = current(pods, Role::Mock).next()?;
    if mock.is_lost() {
        return Some(Err(mock_failed(mock)));
    }
    mock.ready
        .then(|| Ok(vec![Evidence::new("mock", "ready", "ready", true)]))
}

/// The failure of the mock at the end of its deadline.
pub(super) fn mock_late(pods: &Pods) -> Failure {
    match current(pods, Role::Mock).next() {
        Some((_, mock)) => mock_failed(mock),
        None => Failure::new(Symptom::MockUnavailable, "the mock was not started"),
    }
}

/// Whether an agent is ready on each of `nodes`, or there is a permanent failure.
pub(super) fn agents_ready(pods: &Pods, nodes: &[NodeName]) -> Verdict {
    if let Some(failure) = broken(pods) {
        return Some(Err(failure));
    }
    let desired = nodes.len();
    let ready = current(pods, Role::Agent).filter(|(_, status)| status.ready);
    if ready.count() != desired {
        return None;
    }
    let rows = ["desired", "updated", "ready"]
        .map(|word| Evidence::new(format!("agents {word}"), desired, desired, true));
    Some(Ok(rows.into()))
}

/// Whether each of `before` was replaced by a ready agent.
pub(super) fn replaced(pods: &Pods, before: &[PodStatus]) -> Verdict {
    let rows = before.iter().map(|before| {
        let mut agents = current(pods, Role::Agent);
        let (_, now) = agents
            .find(|(_, now)| now.node == before.node && now.uid != before.uid && now.ready)?;
        Some(succession(before, now))
    });
    rows.collect::<Option<_>>().map(Ok)
}

/// A failure that waiting can't fix: a mock or an agent that won't be restarted.
pub(super) fn broken(pods: &Pods) -> Option<Failure> {
    let mut mocks = current(pods, Role::Mock);
    let mock = mocks.find(|(_, mock)| mock.is_lost());
    mock.map(|(_, mock)| mock_failed(mock))
        .or_else(|| crashed(pods))
}

/// The failure of `nodes` without a ready agent at the end of the deadline.
pub(super) fn agents_late(pods: &Pods, nodes: &[NodeName]) -> Failure {
    let missing = nodes.iter().filter_map(|node| {
        let mut agents = current(pods, Role::Agent);
        let seen = match agents.find(|(_, status)| status.node == *node) {
            Some((_, status)) if status.ready => return None,
            Some((_, status)) => state_of(status),
            None => "no agent was started".to_owned(),
        };
        Some(Evidence::new("agent", "ready", seen, false).on(Some(node)))
    });
    let rows: Vec<Evidence> = missing.collect();
    Failure::new(Symptom::AgentNotReady, late_in_words(&rows)).with_evidence(rows)
}

fn late_in_words(rows: &[Evidence]) -> String {
    let Some(first) = rows.first() else {
        return "the agents became ready only when the time was over".to_owned();
    };
    let place = first.node.as_deref().unwrap_or_default();
    match rows.len() {
        1 => format!("the agent on {place} is not ready: {}", first.seen),
        count => format!(
            "{count} agents are not ready, the first of them on {place}: {}",
            first.seen
        ),
    }
}

fn state_of(status: &PodStatus) -> String {
    let state = status.state.name();
    match &status.trouble {
        Some(trouble) => format!("{state}: {trouble}"),
        None => state.to_owned(),
    }
}

fn mock_failed(mock: &PodStatus) -> Failure {
    let message = format!("the mock is not available: {}", state_of(mock));
    Failure::new(Symptom::MockUnavailable, message)
}

/// The failure of the first agent that won't be restarted.
fn crashed(pods: &Pods) -> Option<Failure> {
    let mut agents = current(pods, Role::Agent);
    let (_, agent) = agents.find(|(_, status)| status.is_lost())?;
    let (node, ends) = (&agent.node, agent.restarts);
    let reason = agent.trouble.as_deref().unwrap_or("it ended");
    Some(if agent.state == State::Lost {
        let message = format!("this machine can't run the agent on {node}: {reason}");
        let evidence = Evidence::new("agent", "runs", reason, false).on(Some(node));
        Failure::new(Symptom::ProcessFailed, message).with_evidence([evidence])
    } else {
        let message = format!("the agent on {node} ended {ends} times: {reason}");
        let evidence = Evidence::new("ends of the agent's process", 0, ends, false).on(Some(node));
        Failure::new(Symptom::AgentCrashed, message).with_evidence([evidence])
    })
}

/// Evidence that the agent of a node is a new one.
fn succession(before: &PodStatus, now: &PodStatus) -> Evidence {
    let short = |status: &PodStatus| -> String { status.uid.chars().take(8).collect() };
    let process = now.process.unwrap_or_default();
    let seen = format!("{}, ready (process {process})", short(now));
    let expected = format!("not {}", short(before));
    Evidence::new("pod UID", expected, seen, true).on(Some(&now.node))
}
