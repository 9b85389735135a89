//! The lives of the agents' processes: which ends the suite didn't cause. Pure.

use std::collections::BTreeMap;

use super::board::{PodStatus, Pods, Role, current};
use crate::event::{Evidence, Failure, Symptom};

/// How often each agent's process had ended when the agents became ready, and how often it may end after that.
#[derive(Debug)]
pub(super) struct Lives {
    /// The number of ends before readiness, by the pod's UID.
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
            // An agent that replaces a deleted one has no earlier life.
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
        let subject = "ends of the agent's process since readiness";
        let (expected, seen) = (format!("<= {}", self.allowed), ends(agent));
        let evidence = Evidence::new(subject, expected, format!("{seen} ({how})"), false);
        let evidence = evidence.on(Some(&agent.node));
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

/// The agents whose liveness probe has not run yet, one sentence per agent.
pub(super) fn unprobed(pods: &Pods) -> Vec<String> {
    let agents = current(pods, Role::Agent).map(|(_, agent)| agent);
    agents
        .filter(|agent| agent.unprobed)
        .map(|agent| {
            format!(
                "the liveness probe of the agent on {} was not checked: it had not run by the end of the cell",
                agent.node
            )
        })
        .collect()
}

/// The agents whose liveness probe fails at the moment: by pod UID, how often in a row.
pub(super) type Sick = BTreeMap<String, u32>;

/// The agents whose liveness probe fails at the moment.
pub(super) fn sick(pods: &Pods) -> Sick {
    let agents = current(pods, Role::Agent).map(|(_, agent)| agent);
    agents
        .filter_map(|agent| Some((agent.uid.clone(), agent.sick.as_ref()?.0)))
        .collect()
}

/// The warnings about agents whose liveness probe failed `before` the last check and has not failed again.
pub(super) fn warnings(pods: &Pods, before: &Sick) -> Vec<String> {
    let agents = current(pods, Role::Agent).map(|(_, agent)| agent);
    let warned = agents.filter(|agent| before.contains_key(&agent.uid));
    warned
        .map(|agent| match &agent.sick {
            Some((_, why)) => format!("the agent on {}: {why}", agent.node),
            None => format!(
                "the agent on {}: its liveness probe failed, then recovered",
                agent.node
            ),
        })
        .collect()
}

/// The failure if a liveness probe that had failed `before` has failed again.
pub(super) fn unhealthy(pods: &Pods, before: &Sick) -> Option<Failure> {
    let rows: Vec<Evidence> = current(pods, Role::Agent)
        .filter_map(|(_, agent)| {
            let (times, why) = agent.sick.as_ref()?;
            let earlier = before.get(&agent.uid)?;
            (times > earlier).then(|| {
                Evidence::new("liveness probe", "succeeds", why, false).on(Some(&agent.node))
            })
        })
        .collect();
    let first = rows.first()?;
    let node = first.node.as_deref().unwrap_or_default();
    let message = format!("the agent on {node} is about to be killed: {}", first.seen);
    Some(Failure::new(Symptom::AgentUnhealthy, message).with_evidence(rows))
}
