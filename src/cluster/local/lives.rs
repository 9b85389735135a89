//! The lives of the agents' processes: which of their ends the suite did not cause. Pure.

use std::collections::BTreeMap;

use super::board::{PodStatus, Pods, Role, current};
use super::failure::row;
use crate::event::{Evidence, Failure, Symptom};

/// How often each agent's process had ended when the agents became ready, and how often it may end after that.
#[derive(Debug)]
pub(super) struct Lives {
    /// Ends before readiness, by the pod's UID.
    before: BTreeMap<String, u32>,
    allowed: u32,
    early: Vec<String>,
}

impl Lives {
    /// The lives of the agents that are ready in `pods`; `allowed` more ends per agent don't fail the cell.
    pub(super) fn of(pods: &Pods, allowed: u32) -> Self {
        let agents = || current(pods, Role::Agent).map(|(_, agent)| agent);
        Self {
            before: agents()
                .map(|agent| (agent.uid.clone(), agent.restarts))
                .collect(),
            allowed,
            early: agents().filter_map(early_end).collect(),
        }
    }

    /// The ends before readiness, one sentence per agent.
    pub(super) fn early_ends(&self) -> Vec<String> {
        self.early.clone()
    }

    /// The first agent whose process ended more often since readiness than is allowed.
    pub(super) fn ended(&self, pods: &Pods) -> Option<Failure> {
        let ends = |agent: &PodStatus| {
            // The agent that takes a deleted one's place has no earlier life.
            let before = self.before.get(&agent.uid).copied().unwrap_or_default();
            agent.restarts.saturating_sub(before)
        };
        let mut agents = current(pods, Role::Agent);
        let (_, agent) = agents.find(|(_, agent)| ends(agent) > self.allowed)?;
        let (how, at) = agent.last_end.as_ref().map_or_else(
            || ("its process ended".to_owned(), String::new()),
            |end| (end.how.clone(), format!(" at {:.3}", end.at)),
        );
        let message = format!(
            "the agent on {} ended after it was ready: {how}{at}",
            agent.node
        );
        let evidence = Evidence {
            node: Some(agent.node.to_string()),
            ..row(
                "ends of the agent's process since readiness",
                &format!("<= {}", self.allowed),
                &format!("{} ({how})", ends(agent)),
                false,
            )
        };
        Some(Failure::new(Symptom::AgentCrashed, message).with_evidence([evidence]))
    }
}

fn early_end(agent: &PodStatus) -> Option<String> {
    let how = agent.last_end.as_ref().map(|end| end.how.as_str())?;
    let node = &agent.node;
    Some(match agent.restarts {
        1 => format!("the agent on {node} ended once before it was ready: {how}"),
        ends => format!("the agent on {node} ended {ends} times before it was ready, last: {how}"),
    })
}

/// The agents whose liveness probe fails at the moment, and what it says.
pub(super) fn sick(pods: &Pods) -> Vec<(&PodStatus, &str)> {
    current(pods, Role::Agent)
        .filter_map(|(_, agent)| Some((agent, agent.sick.as_deref()?)))
        .collect()
}

/// What it is if the liveness probes of agents go on failing.
pub(super) fn unhealthy(pods: &Pods) -> Option<Failure> {
    let rows: Vec<Evidence> = sick(pods)
        .into_iter()
        .map(|(agent, why)| Evidence {
            node: Some(agent.node.to_string()),
            ..row("liveness probe", "succeeds", &why, false)
        })
        .collect();
    let first = rows.first()?;
    let node = first.node.as_deref().unwrap_or_default();
    let message = format!("the agent on {node} is about to be killed: {}", first.seen);
    Some(Failure::new(Symptom::AgentUnhealthy, message).with_evidence(rows))
}
