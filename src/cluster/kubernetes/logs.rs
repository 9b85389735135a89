//! Logs of agents and mock, through the API server, without what must not be seen.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt};

use super::Kube;
use super::health::place;
use super::pods::Owner;
use super::ready::agent_pod;
use crate::cluster::{CellPlan, NodeName};
use crate::error::chain;
use crate::event::{Failure, LogTail, Symptom};

/// How long reading one log may take: a cluster that has failed may not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The whole log of the agent on `node`.
pub(crate) async fn whole(
    plan: &CellPlan,
    kube: &Kube,
    node: &NodeName,
) -> Result<String, Failure> {
    let snapshot = kube.view.snapshot();
    let missing = || Failure::new(Symptom::AgentNotReady, format!("no agent runs on {node}"));
    let pod = agent_pod(&snapshot, node).ok_or_else(missing)?;
    let log = read(plan, kube, (pod, Owner::Agent), None).await;
    log.map_err(|why| {
        Failure::new(
            Symptom::ApiServerGone,
            format!("failed to read the log of the agent on {node}: {why}"),
        )
    })
}

/// The last `lines` lines of every agent's log, or that of the one on `node`, and of the mock's.
pub(crate) async fn tails(
    plan: &CellPlan,
    kube: &Kube,
    node: Option<&NodeName>,
    lines: usize,
) -> Vec<LogTail> {
    let snapshot = kube.view.snapshot();
    let owned = snapshot
        .pods
        .iter()
        .map(|pod| (pod.as_ref(), snapshot.workloads.owner(pod)));
    let mut pods: Vec<_> = owned
        .filter(|(pod, owner)| match owner {
            Owner::Mock => true,
            _ => node.is_none_or(|node| place(pod) == node.as_str()),
        })
        .collect();
    pods.sort_by_key(|(pod, owner)| (*owner == Owner::Mock, place(pod).to_owned()));
    let tails = pods.into_iter().map(|pod| tail(plan, kube, pod, lines));
    join_all(tails).await
}

async fn tail(plan: &CellPlan, kube: &Kube, (pod, owner): (&Pod, Owner), lines: usize) -> LogTail {
    let who = match owner {
        Owner::Agent => "plexd".to_owned(),
        Owner::Mock => "mock-api".to_owned(),
        Owner::Other | Owner::System => pod.name_any(),
    };
    let limit = i64::try_from(lines).unwrap_or(i64::MAX);
    let text = read(plan, kube, (pod, owner), Some(limit)).await;
    let text = text.unwrap_or_else(|why| format!("(its log can't be read: {why})"));
    LogTail {
        source: format!("{who} on {}", place(pod)),
        lines: text.lines().map(str::to_owned).collect(),
    }
}

/// The log of a pod's program: of the one before, where it is waiting to be started again.
async fn read(
    plan: &CellPlan,
    kube: &Kube,
    (pod, owner): (&Pod, Owner),
    tail_lines: Option<i64>,
) -> Result<String, String> {
    let pods: Api<Pod> = Api::namespaced(kube.client.clone(), &plan.namespace);
    let name = pod.name_any();
    let mut parameters = LogParams {
        container: program(plan, owner),
        tail_lines,
        ..LogParams::default()
    };
    let reading = async {
        let log = pods.logs(&name, &parameters).await;
        if !was_restarted(pod) && log.as_ref().is_ok_and(|log| !log.trim().is_empty()) {
            return log;
        }
        parameters.previous = true;
        match pods.logs(&name, &parameters).await {
            Ok(before) if !is_lost(&before) => Ok(before + &log.unwrap_or_default()),
            Ok(_) | Err(_) => log,
        }
    };
    let deadline = plan.clock.deadline(PATIENCE);
    let log = deadline
        .run(reading)
        .await
        .map_err(|timed_out| timed_out.to_string())?;
    let log = log.map_err(|error| chain(&error))?;
    Ok(plan.mask.apply(&log))
}

/// The kubelet answers with a sentence where the log of an earlier container is gone already.
fn is_lost(log: &str) -> bool {
    log.starts_with("unable to retrieve container logs")
}

fn was_restarted(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    statuses.into_iter().any(|status| status.restart_count > 0)
}

/// The container of the pod that matters.
fn program(plan: &CellPlan, owner: Owner) -> Option<String> {
    let rendered = &plan.rendered;
    match owner {
        Owner::Agent => Some(rendered.agent().container.clone()),
        Owner::Mock => Some(rendered.mock().container.clone()),
        Owner::Other | Owner::System => None,
    }
}
