//! The logs of the agents and the mock, read through the API server, with secrets masked.

use std::cmp::Reverse;
use std::time::Duration;

use futures::future::join_all;
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt};

use super::Kube;
use super::health::{node_name, statuses, was_restarted};
use super::pods::Owner;
use crate::cluster::{CellPlan, NodeName};
use crate::error::chain;
use crate::excerpt::{Collector, Log, LogSource, ProcessOutput, Writer};

/// The timeout for reading one log. A failed cluster may not respond.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The logs of all agents, or of the agent on `node`, and of the mock.
pub(crate) async fn all(plan: &CellPlan, kube: &Kube, node: Option<&NodeName>) -> Vec<Log> {
    let snapshot = kube.view.snapshot();
    let owned = snapshot
        .pods
        .iter()
        .map(|pod| (pod.as_ref(), snapshot.workloads.owner(pod)));
    let mut pods: Vec<_> = owned
        .filter(|(pod, owner)| match owner {
            Owner::Mock => true,
            _ => node.is_none_or(|node| node_name(pod) == node.as_str()),
        })
        .collect();
    pods.sort_by_key(|(pod, owner)| (*owner == Owner::Mock, node_name(pod).to_owned()));
    let logs = pods.into_iter().map(|pod| log(plan, kube, pod));
    join_all(logs).await
}

/// The log of the pod's main container.
async fn log(plan: &CellPlan, kube: &Kube, (pod, owner): (&Pod, Owner)) -> Log {
    let rendered = &plan.rendered;
    let (writer, container) = match owner {
        Owner::Agent => (Writer::Agent, Some(&rendered.agent().container)),
        Owner::Mock => (Writer::Mock, Some(&rendered.mock().container)),
        Owner::Other => (Writer::Other(pod.name_any()), most_restarted(pod)),
    };
    let node = node_name(pod).to_owned();
    let source = LogSource { writer, node };
    match read(plan, kube, pod, container).await {
        Ok(processes) => Log::new(source, processes),
        Err(why) => Log::unreadable(source, &why),
    }
}

/// The container of a pod that was restarted most often, or the first one if several were restarted equally often. The
/// API server requires a name if a pod has several containers.
fn most_restarted(pod: &Pod) -> Option<&String> {
    let container = statuses(pod).min_by_key(|status| Reverse(status.restart_count))?;
    Some(&container.name)
}

/// The output of the last two processes of a container. The kubelet keeps no more.
async fn read(
    plan: &CellPlan,
    kube: &Kube,
    pod: &Pod,
    container: Option<&String>,
) -> Result<Vec<ProcessOutput>, String> {
    let pods: Api<Pod> = Api::namespaced(kube.client.clone(), &plan.namespace);
    let name = pod.name_any();
    let of = async |previous| {
        let parameters = LogParams {
            container: container.cloned(),
            previous,
            ..LogParams::default()
        };
        let stream = pods.log_stream(&name, &parameters).await;
        let written = collect(stream.map_err(|error| chain(&error))?).await?;
        Ok::<ProcessOutput, String>(written.map(|line| plan.mask.apply(line)))
    };
    let reading = async {
        let current = of(false).await;
        if !was_restarted(pod) && current.as_ref().is_ok_and(|written| !written.is_empty()) {
            return Ok(vec![current?]);
        }
        match of(true).await {
            // While a container waits for its restart, its current log is that of the previous process.
            Ok(before) if !is_gone(&before) && Ok(&before) != current.as_ref() => {
                Ok([before].into_iter().chain(current).collect())
            }
            Ok(_) | Err(_) => Ok(vec![current?]),
        }
    };
    let deadline = plan.clock.deadline(TIMEOUT);
    deadline
        .run(reading)
        .await
        .map_err(|timed_out| timed_out.to_string())?
}

async fn collect(stream: impl AsyncBufRead) -> Result<ProcessOutput, String> {
    let mut stream = std::pin::pin!(stream);
    let mut collector = Collector::default();
    loop {
        let piece = stream.fill_buf().await.map_err(|error| chain(&error))?;
        if piece.is_empty() {
            return Ok(collector.finish());
        }
        collector.feed(piece);
        let length = piece.len();
        stream.consume_unpin(length);
    }
}

/// Whether the kubelet returned an error message instead of a log, because the log of the previous process is gone.
fn is_gone(written: &ProcessOutput) -> bool {
    written.starts_with("unable to retrieve container logs")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_several_containers_the_one_that_was_restarted_most_often_is_quoted() {
        for (restarts, expected) in [
            ([0, 2, 1], "worker"),
            ([1, 2, 2], "worker"),
            ([0, 0, 0], "app"),
        ] {
            let containers = ["app", "worker", "proxy"].into_iter().zip(restarts);
            let statuses: Vec<_> = containers
                .map(|(name, restarts)| {
                    json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": restarts})
                })
                .collect();
            let pod = json!({"metadata": {"name": "p"}, "status": {"containerStatuses": statuses}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!(most_restarted(&pod).map(String::as_str), Some(expected));
        }
    }
}
