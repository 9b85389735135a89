//! Pure functions that find unhealthy pods: pods that have failed permanently, agents that ended although the suite
//! didn't end them, and agents whose liveness probes fail.

use std::collections::BTreeMap;

use super::status::{Liveness, PodStatus, Pods, State, Termination, agents, mock};
use crate::event::{Evidence, Failure, Symptom};

/// How many times an agent may exit before the agents have become ready.
pub(super) const EARLY_EXITS: u32 = 2;

/// The failure if an agent has exited too many times, while the agents haven't become ready yet.
pub(super) fn crashed_early(pods: &Pods) -> Option<Failure> {
    let agent = agents(pods).find(|agent| agent.restarts > EARLY_EXITS)?;
    Some(agent_failed(agent))
}

/// A failure that waiting can't fix: the mock or an agent failed permanently.
pub(super) fn failed(pods: &Pods) -> Option<Failure> {
    let agent = || agents(pods).find(|agent| agent.has_failed());
    let mock = mock(pods).filter(|mock| mock.has_failed());
    mock.map(mock_failed).or_else(|| agent().map(agent_failed))
}

/// The failure of a mock that is not available.
pub(super) fn mock_failed(mock: &PodStatus) -> Failure {
    let message = format!("the mock is not available: {}", state_of(mock));
    Failure::new(Symptom::MockUnavailable, message)
}

fn agent_failed(agent: &PodStatus) -> Failure {
    let (node, ends) = (&agent.pod.node, agent.restarts);
    let last = agent.last_termination.as_ref();
    let reason = last.map_or("it exited", |last| last.reason.as_str());
    let (symptom, message, evidence) = if agent.state == State::RunError {
        (
            Symptom::ProcessFailed,
            format!("this machine can't run the agent on {node}: {reason}"),
            Evidence::new("agent", "runs", reason, false),
        )
    } else {
        (
            last.map_or(Symptom::AgentCrashed, Termination::symptom),
            format!("the agent on {node} has exited {ends} times: {reason}"),
            Evidence::new("exits of the agent's process", 0, ends, false),
        )
    };
    Failure::new(symptom, message).with_evidence([evidence.on(Some(node))])
}

/// A pod's state with its last warning.
pub(super) fn state_of(status: &PodStatus) -> String {
    let state = status.state.name();
    match &status.warning {
        Some(warning) => format!("{state}: {warning}"),
        None => state.to_owned(),
    }
}

/// How many times each agent's process had ended when the agents became ready.
#[derive(Debug)]
pub(super) struct RestartBaseline {
    /// The number of restarts by the pod's UID.
    restarts: BTreeMap<String, u32>,
    /// How many more exits per agent don't fail the cell.
    allowed: u32,
    early_ends: Vec<String>,
}

impl RestartBaseline {
    /// The baseline at the moment when the agents in `pods` are ready. `allowed` further exits per agent don't fail the
    /// cell.
    pub(super) fn new(pods: &Pods, allowed: u32) -> Self {
        Self {
            restarts: agents(pods)
                .map(|agent| (agent.pod.uid.clone(), agent.restarts))
                .collect(),
            allowed,
            early_ends: agents(pods).filter_map(early_end).collect(),
        }
    }

    /// The exits before readiness, in one sentence per agent.
    pub(super) fn early_ends(&self) -> Vec<String> {
        self.early_ends.clone()
    }

    /// The failure if an agent's process has ended more often since readiness than is allowed.
    pub(super) fn exceeded(&self, pods: &Pods) -> Option<Failure> {
        let ends = |agent: &PodStatus| {
            // An agent that replaces a deleted one starts at zero.
            let before = self.restarts.get(&agent.pod.uid);
            agent
                .restarts
                .saturating_sub(before.copied().unwrap_or_default())
        };
        let agent = agents(pods).find(|agent| ends(agent) > self.allowed)?;
        // Set whenever `restarts` increases.
        let last = agent.last_termination.as_ref()?;
        let ended = if last.by_probe {
            "was killed"
        } else {
            "exited"
        };
        let (node, reason, at) = (&agent.pod.node, &last.reason, last.at);
        let message =
            format!("the agent on {node} {ended} after it became ready: {reason} at {at:.3}");
        let subject = "exits of the agent's process since readiness";
        let (expected, seen) = (format!("<= {}", self.allowed), ends(agent));
        let evidence = Evidence::new(subject, expected, format!("{seen} ({reason})"), false);
        let evidence = evidence.on(Some(node));
        Some(Failure::new(last.symptom(), message).with_evidence([evidence]))
    }
}

impl Termination {
    /// The symptom of an agent whose process ended like this.
    fn symptom(&self) -> Symptom {
        if self.by_probe {
            Symptom::AgentUnhealthy
        } else {
            Symptom::AgentCrashed
        }
    }
}

fn early_end(agent: &PodStatus) -> Option<String> {
    let reason = &agent.last_termination.as_ref()?.reason;
    let node = &agent.pod.node;
    Some(match agent.restarts {
        1 => format!("the agent on {node} exited once before it was ready: {reason}"),
        ends => {
            format!(
                "the agent on {node} exited {ends} times before it was ready, most recently: {reason}"
            )
        }
    })
}

/// The warnings about agents whose liveness probe hasn't run yet.
pub(super) fn unprobed(pods: &Pods) -> Vec<String> {
    agents(pods)
        .filter(|agent| matches!(agent.liveness, Liveness::Unknown))
        .map(|agent| {
            format!(
                "the liveness probe of the agent on {} was not checked: it had not run by the end of the cell",
                agent.pod.node
            )
        })
        .collect()
}

/// The number of consecutive failures of each failing liveness probe, by the pod's UID.
pub(super) type LivenessFailures = BTreeMap<String, u32>;

/// The agents whose liveness probe currently fails.
pub(super) fn liveness_failures(pods: &Pods) -> LivenessFailures {
    agents(pods)
        .filter_map(|agent| match &agent.liveness {
            Liveness::Failure { count, .. } => Some((agent.pod.uid.clone(), *count)),
            Liveness::Unknown | Liveness::Success => None,
        })
        .collect()
}

/// The warnings about agents whose liveness probe had failed `before` and has not failed again.
pub(super) fn liveness_warnings(pods: &Pods, before: &LivenessFailures) -> Vec<String> {
    agents(pods)
        .filter(|agent| before.contains_key(&agent.pod.uid))
        .map(|agent| {
            let seen = match &agent.liveness {
                Liveness::Failure { reason, .. } => reason.as_str(),
                Liveness::Unknown | Liveness::Success => {
                    "its liveness probe failed, then recovered"
                }
            };
            format!("the agent on {}: {seen}", agent.pod.node)
        })
        .collect()
}

/// The failure if a liveness probe that had failed `before` has failed again.
pub(super) fn unhealthy(pods: &Pods, before: &LivenessFailures) -> Option<Failure> {
    let rows: Vec<Evidence> = agents(pods)
        .filter_map(|agent| match &agent.liveness {
            Liveness::Failure { count, reason } if count > before.get(&agent.pod.uid)? => Some(
                Evidence::new("liveness probe", "succeeds", reason, false)
                    .on(Some(&agent.pod.node)),
            ),
            _ => None,
        })
        .collect();
    let first = rows.first()?;
    let node = first.node.as_deref().unwrap_or_default();
    let message = format!("the agent on {node} is about to be killed: {}", first.seen);
    Some(Failure::new(Symptom::AgentUnhealthy, message).with_evidence(rows))
}
