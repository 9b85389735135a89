//! Objects and snapshots for tests.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::watch::Snapshot;

/// The object that `value` describes.
pub(super) fn object<K: DeserializeOwned>(value: &Value) -> Arc<K> {
    Arc::new(K::deserialize(value).unwrap())
}

/// A cell with these pods and events on the node `worker`.
pub(super) fn snapshot(pods: &[Value], events: &[Value]) -> Snapshot {
    Snapshot {
        pods: pods.iter().map(object).collect(),
        events: events.iter().map(object).collect(),
        nodes: vec![object(&json!({"metadata": {"name": "worker"}}))],
        ..Snapshot::default()
    }
}

/// An agent on the node `worker` whose container is running and was restarted this often.
pub(super) fn agent(uid: &str, restarts: i32) -> Value {
    json!({
        "metadata": {"name": uid, "uid": uid, "labels": {"app.kubernetes.io/name": "plexd"}},
        "spec": {"nodeName": "worker", "containers": [
            {"name": "c", "livenessProbe": {"periodSeconds": 1}, "resources": {"limits": {"memory": "1Mi"}}},
        ]},
        "status": {"containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": restarts,
            "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 0, "reason": "Completed"}},
        }]},
    })
}

/// A warning about the agent `a` that has occurred `count` times.
pub(super) fn event(message: &str, count: i32) -> Value {
    json!({
        "metadata": {"name": message, "namespace": "n"}, "type": "Warning", "reason": "Unhealthy",
        "involvedObject": {"kind": "Pod", "uid": "a"}, "message": message, "count": count,
    })
}
