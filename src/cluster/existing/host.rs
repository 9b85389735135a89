//! The files that a cell's agents keep on the nodes: one folder per cell and node, which a pod with the mock's image
//! wipes.
//!
//! The pod sees nothing of its node except the parent folder of all cells' folders. If the image can't wipe, the folder
//! stays and a warning says so.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::json;

use super::marks::FOLDER;
use crate::cluster::NodeName;
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::Evidence;

/// How long a node may take to start the pod, and the pod to wipe; a foreign image may never end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where [`FOLDER`] is mounted in the pod.
const MOUNT: &str = "/host";

/// Wipes the folder of `namespace` on each of `nodes`. Returns evidence that it is gone, and warnings where it isn't.
pub(super) async fn wipe(
    client: &Client,
    namespace: &str,
    image: &str,
    nodes: &[NodeName],
    deadline: &Deadline,
) -> (Vec<Evidence>, Vec<String>) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let patience = deadline.within(PATIENCE);
    let wiping = nodes.iter().enumerate().map(|(index, node)| {
        let (pods, patience) = (&pods, &patience);
        async move {
            let name = format!("wipe-{index}");
            let pod = pod(&name, namespace, image, node);
            let result = match pod {
                Ok(pod) => patience.run(on_node(pods, &name, pod)).await,
                Err(error) => Ok(Err(error.to_string())),
            };
            (
                node,
                result.unwrap_or_else(|timed_out| Err(timed_out.to_string())),
            )
        }
    });
    let (mut evidence, mut warnings) = (Vec::new(), Vec::new());
    let folder = format!("{FOLDER}/{namespace}");
    for (node, result) in join_all(wiping).await {
        match result {
            Ok(()) => {
                let gone = Evidence::new(format!("folder {folder}"), "gone", "gone", true);
                evidence.push(gone.on(Some(&node)));
            }
            Err(why) => warnings.push(format!(
                "the folder {folder} is left on node {node}, because {image} did not wipe it: {why}"
            )),
        }
    }
    (evidence, warnings)
}

/// Runs the pod to its end, and trusts only its statement about the folder.
async fn on_node(pods: &Api<Pod>, name: &str, pod: Pod) -> Result<(), String> {
    let text = |error: kube::Error| chain(&error);
    pods.create(&PostParams::default(), &pod)
        .await
        .map_err(text)?;
    let ended = |pod: Option<&Pod>| {
        let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let waited = Box::pin(await_condition(pods.clone(), name, ended)).await;
    waited.map_err(|error| chain(&error))?;
    let log = pods.logs(name, &LogParams::default()).await.map_err(text)?;
    if log.lines().any(|line| line == "wiped") {
        Ok(())
    } else {
        let last = log.lines().next_back().unwrap_or("it printed nothing");
        Err(last.to_owned())
    }
}

fn pod(
    name: &str,
    namespace: &str,
    image: &str,
    node: &NodeName,
) -> Result<Pod, serde_json::Error> {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "wipe"}},
        "spec": {
            "nodeName": node.as_str(),
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "wipe",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["wipe", format!("{MOUNT}/{namespace}")],
                "securityContext": {
                    "runAsUser": 0,
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                },
                "volumeMounts": [{"name": "host", "mountPath": MOUNT}],
            }],
            "volumes": [{
                "name": "host",
                "hostPath": {"path": FOLDER, "type": "DirectoryOrCreate"},
            }],
        },
    }))
}
