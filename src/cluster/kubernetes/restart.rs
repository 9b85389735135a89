//! Restarts agents: deletes their pods gracefully, and waits until new ones are ready.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};

use super::Kube;
use super::health::{is_pod_ready, suspicions};
use super::ready::{agent_pod, state};
use super::wait::{Progress, until};
use super::watch::Snapshot;
use crate::cluster::{CellPlan, NodeName};
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Evidence, Failure, Symptom};

/// Deletes the agents of `nodes` concurrently, and waits until a new one is ready on each node.
pub(crate) async fn restart(
    plan: &CellPlan,
    kube: &Kube,
    nodes: &[NodeName],
    deadline: &Deadline,
) -> Result<Vec<Evidence>, Failure> {
    let old = agents(&kube.view.snapshot(), nodes)?;
    let pods: Api<Pod> = Api::namespaced(kube.client.clone(), &plan.namespace);
    let parameters = DeleteParams::default();
    let deletions = old
        .values()
        .map(|agent| pods.delete(&agent.name, &parameters));
    let deleting = deadline.run(try_join_all(deletions)).await;
    let failed = |why: String| {
        Failure::new(
            Symptom::ApiServerGone,
            format!("failed to delete an agent: {why}"),
        )
    };
    deleting
        .map_err(|timed_out| failed(timed_out.to_string()))?
        .map_err(|error| failed(chain(&error)))?;
    until(&kube.view, deadline, |snapshot| evaluate(snapshot, &old)).await
}

/// An agent's pod. The UID distinguishes it from its replacement.
struct Agent {
    name: String,
    uid: String,
}

fn agents(snapshot: &Snapshot, nodes: &[NodeName]) -> Result<BTreeMap<NodeName, Agent>, Failure> {
    let agent = |node: &NodeName| {
        let pod = agent_pod(snapshot, node);
        let pod = pod.ok_or_else(|| {
            Failure::new(
                Symptom::AgentNotReady,
                format!("there is no agent to restart on {node}"),
            )
        })?;
        let agent = Agent {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
        };
        Ok((node.clone(), agent))
    };
    nodes.iter().map(agent).collect()
}

fn evaluate(snapshot: &Snapshot, old: &BTreeMap<NodeName, Agent>) -> Progress {
    let evidence: Vec<_> = old
        .iter()
        .map(|(node, agent)| replaced(snapshot, node, agent))
        .collect();
    let missing = evidence.iter().filter(|row| !row.holds);
    let nodes: Vec<_> = missing.filter_map(|row| row.node.as_deref()).collect();
    let message = format!("no new agent was ready in time on {}", nodes.join(", "));
    let failure = Failure::new(Symptom::RestartNotMet, message);
    Progress::of(evidence, failure, suspicions(snapshot, true))
}

fn replaced(snapshot: &Snapshot, node: &NodeName, old: &Agent) -> Evidence {
    let new = agent_pod(snapshot, node).filter(|pod| pod.uid().is_some_and(|uid| uid != old.uid));
    let expected = format!("ready, not {}", old.uid);
    let seen = new.map_or_else(
        || "no new pod".to_owned(),
        |pod| format!("{}, {}", state(pod), pod.uid().unwrap_or_default()),
    );
    Evidence::new("agent pod", expected, seen, new.is_some_and(is_pod_ready)).on(Some(node))
}
