//! Freezes a cluster: stops its nodes in an order in which no data is lost, and removes all state that would look valid
//! in a clone although nothing in the clone has confirmed it yet.

use futures::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod, PodStatus};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;

use crate::cluster::NodeName;
use crate::cluster::kind::work::Work;
use crate::cluster::kind::{limits, nodes};
use crate::cluster::kubernetes::ready::NOT_READY;
use crate::event::{Failure, Symptom};

/// The annotation of the namespace `kube-system` with the template's id.
pub(super) const TEMPLATE: &str = "e2e-matrix/template";

/// Stops the kubelet, and all containers except the API server and its database, which then have no clients.
const STOP_CLIENTS: &str = r#"systemctl stop kubelet
for id in $(ctr -n k8s.io tasks list -q); do
  ctr -n k8s.io containers info "$id" | grep -qE '"io.kubernetes.container.name": "(etcd|kube-apiserver)"|"io.cri-containerd.kind": "sandbox"' \
    || ctr -n k8s.io tasks kill --signal SIGKILL "$id" || true
done"#;

/// Stops the API server and then its database. Gives each of them time to write its state: for example, the API server
/// removes its address from the endpoints.
const STOP_API_SERVER: &str = r#"end() {
  for id in $(ctr -n k8s.io tasks list -q); do
    if ctr -n k8s.io containers info "$id" | grep -q "\"io.kubernetes.container.name\": \"$1\""; then
      ctr -n k8s.io tasks kill --signal SIGTERM "$id"
      for attempt in $(seq 200); do
        ctr -n k8s.io tasks list | grep "^$id " | grep -q RUNNING || return 0
        sleep 0.1
      done
      echo "$1 did not exit" >&2
      exit 1
    fi
  done
  echo "$1 is not running" >&2
  exit 1
}
end kube-apiserver
end etcd"#;

/// Deletes all containers, so that containerd knows only images, and stops containerd. Cuts off the space that etcd has
/// reserved in its log but not used, because each clone would copy it.
const STOP_CONTAINERD: &str = r#"for id in $(ctr -n k8s.io tasks list -q); do ctr -n k8s.io tasks kill --signal SIGKILL "$id" || true; done
for attempt in $(seq 100); do
  ctr -n k8s.io tasks list | grep -q RUNNING || break
  sleep 0.05
done
for id in $(ctr -n k8s.io tasks list -q); do ctr -n k8s.io tasks delete --force "$id" || true; done
for id in $(ctr -n k8s.io containers list -q); do ctr -n k8s.io containers delete "$id"; done
for id in $(ctr -n k8s.io snapshots list | awk '$NF == "Active" { print $1 }'); do ctr -n k8s.io snapshots rm "$id"; done
systemctl stop containerd
for log in /var/lib/etcd/member/wal/*.wal; do
  [ -e "$log" ] && perl -e 'open(my $f, "+<", $ARGV[0]) or exit; binmode $f; my $end = 0;
    while (read($f, my $part, 65536)) { $end = tell($f) if $part =~ /[^\0]/ } truncate($f, $end)' "$log"
done
true"#;

/// Freezes the cluster. Returns the resource version of its last change.
pub(super) async fn freeze(work: &Work, client: &Client, id: &str) -> Result<u64, Failure> {
    on_all_nodes(work, STOP_CLIENTS).await?;
    reset_pods(client).await?;
    reset_nodes(client).await?;
    delete_all::<Event>(client).await?;
    delete_all::<Lease>(client).await?;
    delete_all::<EndpointSlice>(client).await?;
    let revision = mark(client, id).await?;
    run(work, work.control_plane(), STOP_API_SERVER).await?;
    on_all_nodes(work, STOP_CONTAINERD).await?;
    Ok(revision)
}

/// Deletes the pods that are created again in a clone: static pods by the kubelet, and the pods of a `ReplicaSet` by
/// its controller. The scheduler binds the new pods of a `ReplicaSet` when the node is ready. If they were bound
/// earlier, the kubelet would try to start them without a pod network, and then pause for seconds. All other pods stay
/// where they are, but lose their status.
async fn reset_pods(client: &Client) -> Result<(), Failure> {
    let all: Api<Pod> = Api::all(client.clone());
    let listed = all.list(&ListParams::default()).await?;
    let clearing = listed.into_iter().map(|mut pod| async move {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let owner = pod.owner_references().first();
        if owner.is_some_and(|owner| owner.kind != "DaemonSet") {
            let now = DeleteParams::default().grace_period(0);
            api.delete(&name, &now).await.map(drop)
        } else {
            pod.status = Some(unstarted(pod.status.unwrap_or_default()));
            let how = PostParams::default();
            api.replace_status(&name, &how, &pod).await.map(drop)
        }
    });
    try_join_all(clearing).await?;
    Ok(())
}

/// The status of a pod that is scheduled, but that no kubelet has started yet.
fn unstarted(status: PodStatus) -> PodStatus {
    let conditions = status.conditions.unwrap_or_default().into_iter();
    let scheduled = conditions.filter(|condition| condition.type_ == "PodScheduled");
    PodStatus {
        phase: Some("Pending".to_owned()),
        qos_class: status.qos_class,
        conditions: Some(scheduled.collect()),
        ..PodStatus::default()
    }
}

/// Removes the addresses of the nodes, so that nothing in a clone sends packets to the frozen cluster's addresses
/// before the kubelets report new ones. Taints the nodes, so that no pods are scheduled to them until they are ready.
async fn reset_nodes(client: &Client) -> Result<(), Failure> {
    let api: Api<Node> = Api::all(client.clone());
    let listed = api.list(&ListParams::default()).await?;
    let clearing = listed.into_iter().map(async |mut node| {
        let name = node.name_any();
        let taint = json!({"spec": {"taints": [{"key": NOT_READY, "effect": "NoSchedule"}]}});
        let taint = Patch::Strategic(taint);
        let tainted = api.patch(&name, &PatchParams::default(), &taint).await?;
        node.metadata = tainted.metadata;
        if let Some(status) = &mut node.status {
            status.addresses = None;
            let conditions = status.conditions.iter_mut().flatten();
            for condition in conditions.filter(|condition| condition.type_ == "Ready") {
                "False".clone_into(&mut condition.status);
                condition.reason = Some("Frozen".to_owned());
            }
        }
        let how = PostParams::default();
        api.replace_status(&name, &how, &node).await.map(drop)
    });
    try_join_all(clearing).await?;
    Ok(())
}

/// Deletes all objects of a kind in all namespaces.
async fn delete_all<K: Resource<DynamicType = ()>>(client: &Client) -> Result<(), Failure> {
    let resource = ApiResource::erase::<K>(&());
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let listed = all.list_metadata(&ListParams::default()).await?;
    let namespaces = listed.iter().filter_map(ResourceExt::namespace);
    let namespaces: std::collections::BTreeSet<_> = namespaces.collect();
    for namespace in namespaces {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        let (how, which) = (DeleteParams::default(), ListParams::default());
        api.delete_collection(&how, &which).await?;
    }
    Ok(())
}

/// Marks the cluster as the template `id`. Returns the resource version of this change.
async fn mark(client: &Client, id: &str) -> Result<u64, Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let patch = Patch::Merge(json!({"metadata": {"annotations": {TEMPLATE: id}}}));
    let patched = api
        .patch("kube-system", &PatchParams::default(), &patch)
        .await?;
    let version = patched.resource_version();
    let version = version.and_then(|version| version.parse().ok());
    version.ok_or_else(|| failed("the API server reports no numeric resource version"))
}

/// Runs `script` on all nodes at the same time.
async fn on_all_nodes(work: &Work, script: &str) -> Result<(), Failure> {
    let running = work.containers.iter().map(|node| run(work, node, script));
    try_join_all(running).await.map(drop)
}

async fn run(work: &Work, node: &NodeName, script: &str) -> Result<(), Failure> {
    let docker = work.shared.docker().await?;
    let ran = nodes::run(docker, node, &["bash", "-c", script], None).await;
    ran.map(drop)
        .map_err(|why| failed(&format!("on node {node}: {why}")))
}

fn failed(why: &str) -> Failure {
    let message = format!("failed to freeze the cluster: {why}");
    limits::diagnose(Failure::new(Symptom::ClusterNotUp, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_pod_is_only_scheduled() {
        let status: PodStatus = serde_json::from_value(json!({
            "phase": "Running",
            "podIP": "10.244.0.2",
            "qosClass": "Burstable",
            "containerStatuses": [{"name": "a", "ready": true, "image": "a", "imageID": "a", "restartCount": 1}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
        }))
        .unwrap();
        let expected = json!({
            "phase": "Pending",
            "qosClass": "Burstable",
            "conditions": [{"type": "PodScheduled", "status": "True"}],
        });
        assert_eq!(json!(unstarted(status)), expected);
    }
}
