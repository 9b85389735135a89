//! Verifies clones. A state counts only if it was reported after the clone was started.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future;
use std::time::Duration;

use backon::Retryable;
use bollard::models::ContainerSummary;
use futures::future::try_join;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use k8s_openapi::api::core::v1::{ContainerStatus, Namespace, Node, Pod};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::clone::all_addresses;
use super::freeze::TEMPLATE;
use super::template::Template;
use crate::cluster::NodeName;
use crate::cluster::kind::nodes::containers;
use crate::cluster::kind::work::Work;
use crate::cluster::kubernetes::health::{alive, is_pod_ready, statuses};
use crate::cluster::kubernetes::wait::Progress;
use crate::cluster::kubernetes::watch::Snapshot;
use crate::cluster::kubernetes::{Kube, ready};
use crate::cluster::retry::every;
use crate::error::chain;
use crate::event::{Failure, Symptom};

/// How long the API server of a clone may take to respond. On an idle machine, it takes three seconds. On a machine with
/// more clusters than processors, it can take 50 seconds.
pub(in crate::cluster::kind) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(90);
/// How long verifying a clone may take. On an idle machine, it takes six seconds.
pub(in crate::cluster::kind) const VERIFICATION_TIMEOUT: Duration = Duration::from_secs(150);

/// The annotation with which [`retry_pods`] changes a pod.
const RETRY: &str = "e2e-matrix/retry";
/// The delay between retries.
const RETRY_INTERVAL: Duration = Duration::from_millis(300);

/// The port of the cluster's DNS in its pods.
const DNS: u16 = 53;
/// The delay before a query that got no answer is retried.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long a query may take before it is retried, including the connection through the API server, which is slow on a
/// machine with more clusters than processors.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A name that every cluster resolves.
const KUBERNETES: &str = "kubernetes.default.svc.cluster.local.";

/// The IPv4 and IPv6 addresses of the clone's containers, by the names of the nodes.
pub(in crate::cluster::kind) async fn addresses(
    work: &Work,
    template: &Template,
) -> Result<BTreeMap<NodeName, Vec<String>>, Failure> {
    let docker = work.shared.docker().await?;
    let found = containers(docker, Some(work.plan.cluster.as_str())).await?;
    let addresses_of = |container: &NodeName| {
        let suffix = format!("/{container}");
        let is_it = |it: &&ContainerSummary| it.names.iter().flatten().any(|name| *name == suffix);
        let settings = found.iter().find(is_it)?.network_settings.clone()?;
        Some(all_addresses(settings.networks))
    };
    let nodes = template.nodes().into_iter().zip(&work.containers);
    let nodes = nodes.filter_map(|(node, container)| Some((node, addresses_of(container)?)));
    Ok(nodes.collect())
}

/// Verifies that the cluster is a clone of `template` and that its DNS answers. [`check`] must have succeeded before.
pub(in crate::cluster::kind) async fn verify(
    template: &Template,
    kube: &Kube,
) -> Result<(), Failure> {
    if kube.server_version != template.frozen[0].server_version {
        let message = format!("it runs Kubernetes {}", kube.server_version);
        return Err(Failure::new(Symptom::ClusterDiffers, message));
    }
    let snapshot = kube.view.snapshot();
    let dns = alive(&snapshot.system_pods).find(|pod| ready::is_dns(pod) && is_pod_ready(pod));
    let dns = dns.ok_or_else(|| failed("its DNS is no longer ready"))?;
    let dns = dns.name_any();
    // On the heap, because the state of a query is large.
    let waiting = Box::pin(wait_for_dns(&kube.client, &dns));
    try_join(check_id(&kube.client, &template.id), waiting).await?;
    Ok(())
}

/// Fails if the cluster isn't a clone of the template `id`.
async fn check_id(client: &Client, id: &str) -> Result<(), Failure> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = namespaces.get("kube-system").await?;
    let own = system.annotations().get(TEMPLATE);
    if own.is_some_and(|own| own == id) {
        return Ok(());
    }
    let message = "it is not a clone of this template";
    Err(Failure::new(Symptom::ClusterDiffers, message))
}

/// Checks that the cluster is up, that each node has reported the address of its new container, and that the states of
/// nodes and core pods are newer than the template.
pub(in crate::cluster::kind) fn check(
    snapshot: &Snapshot,
    template: &Template,
    addresses: &BTreeMap<NodeName, Vec<String>>,
) -> Progress {
    let evidence = match ready::core(snapshot, &template.nodes()) {
        Progress::Done(evidence) => evidence,
        pending @ Progress::Pending(..) => return pending,
    };
    let revision = template.frozen[0].revision;
    let stale_nodes = snapshot.nodes.iter().filter(|node| {
        let own = addresses.get(&NodeName::new(node.name_any()));
        !is_newer(node.as_ref(), revision) || own.is_none_or(|own| !has_any(node, own))
    });
    let stale_pods = alive(&snapshot.system_pods).filter(|pod| !is_newer(*pod, revision));
    let stale_nodes = stale_nodes.map(|node| node.name_any());
    let stale: Vec<_> = stale_nodes.chain(stale_pods.map(Pod::name_any)).collect();
    if stale.is_empty() {
        Progress::Done(evidence)
    } else {
        let stale = stale.join(", ");
        let message = format!("no state reported since the clone was started: {stale}");
        Progress::Pending(failed(&message), Vec::new())
    }
}

/// Makes the kubelets retry core pods with containers that they could not configure. A kubelet that starts before the API
/// server may read the pods before the Services, whose addresses the containers need. It retries such a pod only after
/// ten seconds or more, but immediately if the pod changes.
pub(in crate::cluster::kind) async fn retry_pods(kube: &Kube) -> Infallible {
    let pods: Api<Pod> = Api::namespaced(kube.client.clone(), "kube-system");
    for attempt in 1_u64.. {
        let snapshot = kube.view.snapshot();
        for pod in alive(&snapshot.system_pods).filter(|pod| is_not_configured(pod)) {
            let name = pod.name_any();
            let change = json!({"metadata": {"annotations": {RETRY: attempt.to_string()}}});
            let (how, change) = (PatchParams::default(), Patch::Merge(change));
            // If this fails, the kubelet retries the pod later.
            if let Err(error) = pods.patch(&name, &how, &change).await {
                tracing::debug!(name, %error, "failed to make the kubelet retry a pod");
            }
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
    future::pending().await
}

fn is_not_configured(pod: &Pod) -> bool {
    let waiting = |status: &ContainerStatus| status.state.clone()?.waiting?.reason;
    statuses(pod).any(|status| waiting(status).as_deref() == Some("CreateContainerConfigError"))
}

fn is_newer(object: &impl ResourceExt, revision: u64) -> bool {
    let version = object.resource_version();
    version.is_some_and(|version| version.parse::<u64>().is_ok_and(|own| own > revision))
}

/// Whether the node has reported one of the `addresses` of its container. In a cluster with a single address family,
/// it reports only the address of that family.
fn has_any(node: &Node, addresses: &[String]) -> bool {
    let status = node.status.as_ref();
    let reported = status.and_then(|status| status.addresses.as_ref());
    let mut reported = reported.into_iter().flatten();
    reported.any(|reported| addresses.contains(&reported.address))
}

/// Waits until the cluster's DNS answers in its pod.
async fn wait_for_dns(client: &Client, pod: &str) -> Result<(), Failure> {
    let attempts = every(INTERVAL, VERIFICATION_TIMEOUT);
    (|| query_dns(client, pod)).retry(attempts).await
}

/// Queries the cluster's DNS, directly in its pod, for a name that it has to know.
async fn query_dns(client: &Client, pod: &str) -> Result<(), Failure> {
    let querying = async {
        let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
        let mut forwarder = pods
            .portforward(pod, &[DNS])
            .await
            .map_err(std::io::Error::other)?;
        let stream = forwarder.take_stream(DNS);
        let mut stream = stream.ok_or_else(|| std::io::Error::other("no stream"))?;
        let query = query().map_err(std::io::Error::other)?;
        // Over TCP, each message begins with its length.
        let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
        stream.write_u16(length).await?;
        stream.write_all(&query).await?;
        stream.flush().await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, querying).await;
    let answer = answer.unwrap_or_else(|late| Err(late.into()));
    let answer =
        answer.map_err(|error| failed(&format!("querying its DNS failed: {}", chain(&error))))?;
    if is_answer(&answer) {
        Ok(())
    } else {
        Err(failed(&format!("its DNS doesn't know {KUBERNETES}")))
    }
}

fn query() -> Result<Vec<u8>, hickory_proto::ProtoError> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(KUBERNETES)?, RecordType::A));
    message.metadata.recursion_desired = true;
    message.to_vec()
}

fn is_answer(bytes: &[u8]) -> bool {
    Message::from_vec(bytes).is_ok_and(|message| {
        message.metadata.response_code == ResponseCode::NoError && !message.answers.is_empty()
    })
}

fn failed(why: &str) -> Failure {
    Failure::new(Symptom::ClusterNotUp, why)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::template::FrozenNode;
    use super::*;

    const REVISION: u64 = 100;

    fn template() -> Template {
        let frozen = FrozenNode {
            name: NodeName::new("node"),
            of: 1,
            revision: REVISION,
            server_version: "v1.34.4".to_owned(),
            creation_ms: 0,
            container: bollard::models::ContainerCreateBody::default(),
        };
        Template {
            id: "id".to_owned(),
            frozen: vec![frozen],
        }
    }

    /// A cluster in which everything is ready. `node` and `pod` are the resource versions, and `address` is the node's
    /// address.
    fn snapshot(node: u64, pod: u64, address: &str) -> Snapshot {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "node", "resourceVersion": node.to_string()},
            "status": {"conditions": ready, "addresses": [{"type": "InternalIP", "address": address}]},
        }))
        .unwrap();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "coredns",
                "labels": {"k8s-app": "kube-dns"},
                "resourceVersion": pod.to_string(),
            },
            "status": {"phase": "Running", "conditions": ready},
        }))
        .unwrap();
        Snapshot {
            nodes: vec![Arc::new(node)],
            system_pods: vec![Arc::new(pod)],
            ..Snapshot::default()
        }
    }

    #[test]
    fn only_states_reported_since_the_start_count() {
        let own = ["172.18.0.9", "fc00::9"].map(str::to_owned);
        let addresses = BTreeMap::from([(NodeName::new("node"), own.to_vec())]);
        let is_up = |snapshot: &Snapshot| {
            matches!(check(snapshot, &template(), &addresses), Progress::Done(_))
        };
        assert!(is_up(&snapshot(REVISION + 1, REVISION + 1, "172.18.0.9")));
        // The node of an IPv6 cluster reports no IPv4 address.
        assert!(is_up(&snapshot(REVISION + 1, REVISION + 1, "fc00::9")));
        assert!(!is_up(&snapshot(REVISION, REVISION + 1, "172.18.0.9")));
        assert!(!is_up(&snapshot(REVISION + 1, REVISION, "172.18.0.9")));
        assert!(!is_up(&snapshot(REVISION + 1, REVISION + 1, "172.18.0.2")));
    }

    #[test]
    fn only_pods_that_could_not_be_configured_are_retried() {
        let waiting = |reason: &str| -> Pod {
            let state = json!({"waiting": {"reason": reason}});
            let status = json!({"name": "a", "image": "a", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            serde_json::from_value(json!({"status": {"containerStatuses": [status]}})).unwrap()
        };
        assert!(is_not_configured(&waiting("CreateContainerConfigError")));
        assert!(!is_not_configured(&waiting("ContainerCreating")));
        assert!(!is_not_configured(&Pod::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_without_an_answer_ends_so_that_it_can_be_retried() {
        let hangs = tower::service_fn(async |_| {
            future::pending::<Result<http::Response<kube::client::Body>, Infallible>>().await
        });
        let client = Client::new(hangs, "default");
        let querying = tokio::time::timeout(VERIFICATION_TIMEOUT, query_dns(&client, "coredns"));
        let failure = querying.await.expect("the query ends").unwrap_err();
        assert!(failure.message.contains("querying its DNS"), "{failure}");
    }

    #[test]
    fn a_response_without_an_address_is_not_an_answer() {
        let mut message = Message::from_vec(&query().unwrap()).unwrap();
        assert!(!is_answer(&message.to_vec().unwrap()));
        let name = Name::from_ascii(KUBERNETES).unwrap();
        let data = hickory_proto::rr::RData::A("10.96.0.1".parse().unwrap());
        message.add_answer(hickory_proto::rr::Record::from_rdata(name, 30, data));
        assert!(is_answer(&message.to_vec().unwrap()));
        message.metadata.response_code = ResponseCode::NXDomain;
        assert!(!is_answer(&message.to_vec().unwrap()));
        assert!(!is_answer(b"no message"));
    }
}
