//! Restarts agents: deletes their pods gracefully, and waits until new ones are ready.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use tokio::sync::SetOnce;

use super::Kube;
use super::access::request;
use super::health::{Stage, is_pod_ready, phase, suspicions};
use super::ready::{agent_pod, state, unmet_nodes};
use super::wait::{Progress, until};
use super::watch::Snapshot;
use crate::cluster::{CellPlan, NodeName};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};

/// Deletes the agents of `nodes` concurrently, and waits until a new one is ready on each node. Sets `ended` when all
/// deleted agents have ended.
pub(crate) async fn restart(
    plan: &CellPlan,
    kube: &Kube,
    nodes: &[NodeName],
    ended: &SetOnce<()>,
    deadline: &Deadline,
) -> Result<Vec<Evidence>, Failure> {
    let before = kube.view.snapshot();
    let old = agents(&before, nodes)?;
    let pods: Api<Pod> = Api::namespaced(kube.client.clone(), &plan.namespace);
    let names: Vec<_> = old.values().map(|pod| pod.name_any()).collect();
    let deletions = || try_join_all(names.iter().map(|name| delete(&pods, name)));
    request("delete an agent", deadline, deletions).await?;
    until(&kube.view, deadline, |snapshot| {
        if old.values().all(|pod| has_ended(snapshot, pod)) {
            drop(ended.set(()));
        }
        evaluate(snapshot, &old)
    })
    .await
}

/// Deletes a pod. If the pod doesn't exist, an earlier attempt deleted it, but the response got lost.
async fn delete(pods: &Api<Pod>, name: &str) -> kube::Result<()> {
    match pods.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => result.map(drop),
    }
}

/// The agents of `nodes`.
type Agents<'s> = BTreeMap<&'s NodeName, &'s Pod>;

fn agents<'s>(snapshot: &'s Snapshot, nodes: &'s [NodeName]) -> Result<Agents<'s>, Failure> {
    let agent = |node: &'s NodeName| {
        let message = || format!("there is no agent to restart on {node}");
        let pod = agent_pod(snapshot, node)
            .ok_or_else(|| Failure::new(Symptom::AgentNotReady, message()))?;
        Ok((node, pod))
    };
    nodes.iter().map(agent).collect()
}

fn evaluate(snapshot: &Snapshot, old: &Agents<'_>) -> Progress {
    let agents = old.iter();
    let evidence: Vec<_> = agents
        .map(|(node, pod)| replaced(snapshot, node, pod))
        .collect();
    let nodes = unmet_nodes(&evidence).join(", ");
    let message = format!("no new agent was ready in time on {nodes}");
    let failure = Failure::new(Symptom::RestartNotMet, message);
    Progress::of(evidence, failure, suspicions(snapshot, Stage::AgentsReady))
}

/// Whether the processes of the pod have ended. The kubelet then reports a final phase, and later deletes the pod. The
/// controller of a `DaemonSet` doesn't wait for that before it creates the next pod.
fn has_ended(snapshot: &Snapshot, old: &Pod) -> bool {
    let now = snapshot.pods.iter().find(|pod| pod.uid() == old.uid());
    now.is_none_or(|pod| matches!(phase(pod), Some("Succeeded" | "Failed")))
}

/// Whether a new pod has replaced `old` and is ready. A new pod has another UID.
fn replaced(snapshot: &Snapshot, node: &NodeName, old: &Pod) -> Evidence {
    let new = agent_pod(snapshot, node).filter(|pod| pod.uid().is_some() && pod.uid() != old.uid());
    let expected = format!("ready, not {}", old.uid().unwrap_or_default());
    let seen = new.map_or_else(
        || "no new pod".to_owned(),
        |pod| format!("{}, {}", state(pod), pod.uid().unwrap_or_default()),
    );
    Evidence::new("agent pod", expected, seen, new.is_some_and(is_pod_ready)).on(Some(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kubernetes::fixture::{agent, object, snapshot};

    #[test]
    fn an_agent_has_ended_when_its_pod_is_gone_or_has_a_final_phase() {
        let old: std::sync::Arc<Pod> = object(&agent("old", 0));
        let has_ended = |pods: &[_]| has_ended(&snapshot(pods, &[]), &old);
        let mut terminating = agent("old", 0);
        for (phase, expected) in [("Running", false), ("Succeeded", true), ("Failed", true)] {
            terminating["status"]["phase"] = phase.into();
            let pods = [terminating.clone(), agent("new", 0)];
            assert_eq!(has_ended(&pods), expected, "{phase}");
        }
        assert!(has_ended(&[agent("new", 0)]));
    }
}
