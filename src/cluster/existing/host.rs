//! Wipes the files that a cell's agents keep on the nodes, in one folder per cell and node. On each node, a pod with
//! the mock's image wipes the folder.
//!
//! On its node, the pod can access only the parent folder of all cells' folders. If the image doesn't support wiping,
//! the folder stays, and the cell gets a warning.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::json;

use super::labels::FOLDER;
use crate::cluster::kubernetes::health::phase;
use crate::cluster::{Cleared, NodeName};
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::Evidence;

/// The timeout for starting the pod and wiping the folder. A pod with a user's image might never end.
const WIPE_LIMIT: Duration = Duration::from_secs(20);

/// The path at which [`FOLDER`] is mounted in the pod.
const MOUNT: &str = "/host";

/// Wipes the folder of `namespace` on each of `nodes`. Returns evidence for each folder that is gone, and a warning for
/// each of the others.
pub(super) async fn wipe(
    client: &Client,
    namespace: &str,
    image: &str,
    nodes: &[NodeName],
    deadline: &Deadline,
) -> Cleared {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let limit = deadline.within(WIPE_LIMIT);
    let wiping = nodes.iter().enumerate().map(|(index, node)| {
        let (pods, limit) = (&pods, &limit);
        async move {
            let name = format!("wipe-{index}");
            let pod = pod(&name, namespace, image, node);
            let result = limit.run(on_node(pods, &name, pod)).await;
            let result = result.unwrap_or_else(|timed_out| Err(timed_out.to_string()));
            (node, result)
        }
    });
    let mut cleared = Cleared::default();
    let folder = format!("{FOLDER}/{namespace}");
    for (node, result) in join_all(wiping).await {
        match result {
            Ok(()) => {
                let gone = Evidence::new(format!("folder {folder}"), "gone", "gone", true);
                cleared.evidence.push(gone.on(Some(&node)));
            }
            Err(why) => cleared.warnings.push(format!(
                "the folder {folder} still exists on node {node}, because {image} did not wipe it: {why}"
            )),
        }
    }
    cleared
}

/// Runs the pod until it ends. Only the pod's output proves that the folder was wiped.
async fn on_node(pods: &Api<Pod>, name: &str, pod: serde_json::Result<Pod>) -> Result<(), String> {
    let pod = pod.map_err(|error| error.to_string())?;
    let text = |error: kube::Error| chain(&error);
    let created = pods.create(&PostParams::default(), &pod).await;
    created.map_err(text)?;
    let ended = |pod: Option<&Pod>| matches!(pod.and_then(phase), Some("Succeeded" | "Failed"));
    let waited = Box::pin(await_condition(pods.clone(), name, ended)).await;
    waited.map_err(|error| chain(&error))?;
    let log = pods.logs(name, &LogParams::default()).await.map_err(text)?;
    if log.lines().any(|line| line == "wiped") {
        Ok(())
    } else {
        let last = log.lines().next_back().unwrap_or("no output");
        Err(last.to_owned())
    }
}

fn pod(name: &str, namespace: &str, image: &str, node: &NodeName) -> serde_json::Result<Pod> {
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
