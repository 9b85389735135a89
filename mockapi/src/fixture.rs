//! Responses of the Central API that don't depend on the caller: the state and the heartbeat's directives.
//!
//! A fixture is sent byte for byte as configured; only the parts that other responses quote are interpreted.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::call::Payload;
use crate::problem::Problem;

/// The name of the secret with a node's local bearer token.
pub(crate) const LOCAL_TOKEN_KEY: &str = "local-bearer-token";

/// A JSON object, as text and parsed.
pub(crate) struct Fixture {
    text: Bytes,
    object: Map<String, Value>,
}

impl Fixture {
    /// Accepts a configured fixture, which can be any JSON object.
    pub(crate) fn configured(payload: Payload) -> Result<Self, Problem> {
        let object = payload.document()?;
        Ok(Self {
            text: payload.bytes,
            object,
        })
    }

    /// The default state.
    pub(crate) fn state(signing_public_key: &str) -> Self {
        Self::from(json!({
            "peers": [peer(1), peer(2)],
            "policies": [{
                "id": "policy-001",
                "rules": [
                    rule("peer-001", "peer-002", 443, "tcp", "allow"),
                    rule("*", "*", 0, "any", "deny"),
                ],
            }],
            "metadata": {"environment": "e2e", "region": "local"},
            "signing_keys": {"current": signing_public_key},
            "data": [
                data("mesh-name", &json!("plexd-e2e")),
                data("limits", &json!({"max_peers": 64})),
            ],
            "secret_refs": [{"key": LOCAL_TOKEN_KEY, "version": 1}],
        }))
    }

    /// The default response to a heartbeat.
    pub(crate) fn heartbeat() -> Self {
        Self::from(json!({"reconcile": true, "rotate_keys": false}))
    }

    /// The text of the response.
    pub(crate) fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// The array under `key`; empty if the fixture doesn't have it.
    pub(crate) fn array(&self, key: &str) -> Vec<Value> {
        self.object
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    }

    /// The object under `key`; empty if the fixture doesn't have it.
    pub(crate) fn map(&self, key: &str) -> Map<String, Value> {
        self.object
            .get(key)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    }
}

impl From<Value> for Fixture {
    fn from(value: Value) -> Self {
        let text = Bytes::from(value.to_string());
        let object = match value {
            Value::Object(object) => object,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        Self { text, object }
    }
}

/// A peer whose mesh address is above those of the nodes.
fn peer(number: u8) -> Value {
    json!({
        "id": format!("peer-{number:03}"),
        "public_key": format!("{}=", char::from(b'A' + number).to_string().repeat(42) + "A"),
        "mesh_ip": format!("10.99.255.{number}"),
        "endpoint": format!("203.0.113.{number}:51820"),
        "allowed_ips": [format!("10.99.255.{number}/32")],
        "psk": format!("{}=", char::from(b'P' + number).to_string().repeat(42) + "A"),
    })
}

fn rule(src: &str, dst: &str, port: u16, protocol: &str, action: &str) -> Value {
    json!({"src": src, "dst": dst, "port": port, "protocol": protocol, "action": action})
}

fn data(key: &str, payload: &Value) -> Value {
    json!({
        "key": key,
        "content_type": "application/json",
        "payload": payload,
        "version": 1,
        "updated_at": "2025-01-01T00:00:00Z",
    })
}
