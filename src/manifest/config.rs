//! The agent's configuration: the base that every cell shares, and what a variant puts over it.

use serde_json::{Map, Value, json};

/// The agent's configuration as it is without a variant, pointing at the mock in `namespace`.
pub fn base_agent_config(namespace: &str) -> Value {
    let local_endpoint = |kind: &str| {
        json!({
            "local_endpoint": {
                "url": format!("https://mock-api.{namespace}:8443/local/{kind}"),
                "secret_key": "local-bearer-token",
                "tls_insecure_skip_verify": true,
            }
        })
    };
    json!({
        "api": { "base_url": format!("http://mock-api.{namespace}:8080") },
        "registration": { "data_dir": "/var/lib/plexd" },
        "node_api": { "data_dir": "/var/lib/plexd" },
        "heartbeat": { "node_id": "e2e-k8s-node" },
        "metrics": local_endpoint("metrics"),
        "log_fwd": local_endpoint("logs"),
        "audit_fwd": local_endpoint("audit"),
    })
}

/// `base` with `over` on top: tables are merged key by key, everything else is replaced.
pub fn merge(mut base: Value, over: &Map<String, Value>) -> Value {
    merge_into(&mut base, over);
    base
}

fn merge_into(base: &mut Value, over: &Map<String, Value>) {
    let Value::Object(table) = base else {
        *base = Value::Object(over.clone());
        return;
    };
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(below), Value::Object(over)) => merge_into(below, over),
            (_, value) => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}
