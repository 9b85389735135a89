//! The bodies of the wire contract that the agent sends and receives. Shapes only: no I/O, no decisions.
//!
//! A field is optional if a fault leaves it out. Response fields that the agent doesn't use are omitted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::Secret;

/// Body of `POST /v1/register`.
#[derive(Serialize)]
pub(crate) struct Register<'a> {
    /// The bootstrap token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<&'a Secret>,
    /// The public key, in base64.
    pub(crate) public_key: &'a str,
    /// The node's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<&'a str>,
    /// Further facts about the node.
    pub(crate) metadata: BTreeMap<&'static str, &'static str>,
}

/// Response to `POST /v1/register`.
#[derive(Deserialize)]
pub(crate) struct Registered {
    /// The node id, which is part of all paths.
    pub(crate) node_id: String,
    /// The node's address in the mesh.
    #[serde(default)]
    pub(crate) mesh_ip: String,
    /// An Ed25519 key, in base64.
    #[serde(default)]
    pub(crate) signing_public_key: String,
    /// The bearer credential, which is also the AES-256 key.
    pub(crate) node_secret_key: Secret,
}

/// Body of `POST /v1/nodes/{id}/heartbeat`.
#[derive(Serialize)]
pub(crate) struct Heartbeat<'a> {
    /// The configured node id, or the registered one if none is configured.
    pub(crate) node_id: &'a str,
    /// The current time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<Timestamp>,
    /// Always `healthy`.
    pub(crate) status: &'static str,
    /// The uptime of this process, in whole seconds.
    pub(crate) uptime: u64,
    /// The SHA-256 of the running binary in hexadecimal; empty until it is known.
    pub(crate) binary_checksum: &'a str,
}

/// Response to `POST /v1/nodes/{id}/heartbeat`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HeartbeatAnswer {
    /// Whether the node should reconcile its state.
    pub(crate) reconcile: bool,
}

/// Body of `PUT /v1/nodes/{id}/capabilities`.
#[derive(Debug, Serialize)]
pub(crate) struct Capabilities {
    /// The built-in actions.
    pub(crate) builtin_actions: Vec<Action>,
    /// The actions that were added on this node.
    pub(crate) hooks: Vec<Action>,
    /// The agent's build.
    pub(crate) binary: Binary,
}

/// An action that a node can perform on request.
#[derive(Debug, Serialize)]
pub(crate) struct Action {
    /// The name.
    pub(crate) name: &'static str,
    /// The description for people.
    pub(crate) description: &'static str,
    /// The parameters.
    pub(crate) parameters: &'static [Parameter],
}

/// A parameter of an action.
#[derive(Debug, Serialize)]
pub(crate) struct Parameter {
    /// The name.
    pub(crate) name: &'static str,
    /// `string` or `number`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Whether the parameter is required.
    pub(crate) required: bool,
}

/// The agent's build.
#[derive(Debug, Serialize)]
pub(crate) struct Binary {
    /// The package's version.
    pub(crate) version: &'static str,
}

/// Body of `POST /v1/nodes/{id}/drift`.
#[derive(Debug, Serialize)]
pub(crate) struct Drift {
    /// When the state was corrected.
    pub(crate) timestamp: Timestamp,
    /// The corrections; never empty.
    pub(crate) corrections: Vec<Correction>,
}

/// One correction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Correction {
    /// A section of the state, or `initial`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// A description for people.
    pub(crate) detail: String,
}

/// One entry of the metrics stream.
#[derive(Debug, Serialize)]
pub(crate) struct MetricEntry {
    /// When the values were measured.
    pub(crate) timestamp: Timestamp,
    /// `system`, `memory` or `cpu`.
    pub(crate) group: &'static str,
    /// The values by name.
    pub(crate) data: BTreeMap<&'static str, f64>,
}

/// One entry of the log stream.
#[derive(Debug, Serialize)]
pub(crate) struct LogEntry<'a> {
    /// When the line was logged.
    pub(crate) timestamp: Timestamp,
    /// `plexd`.
    pub(crate) source: &'static str,
    /// The part of the agent that logged the line.
    pub(crate) unit: &'a str,
    /// The message.
    pub(crate) message: &'a str,
    /// `error`, `warning`, `info` or `debug`.
    pub(crate) severity: &'static str,
    /// The node's name.
    pub(crate) hostname: &'a str,
}

/// One entry of the audit stream.
#[derive(Debug, Serialize)]
pub(crate) struct AuditEntry<'a> {
    /// When the action happened.
    pub(crate) timestamp: Timestamp,
    /// `plexd`.
    pub(crate) source: &'static str,
    /// `process_start` or `node_registered`.
    pub(crate) event_type: &'static str,
    /// The actor.
    pub(crate) subject: Value,
    /// The object of the action.
    pub(crate) object: Value,
    /// The action.
    pub(crate) action: &'static str,
    /// The result of the action.
    pub(crate) result: &'static str,
    /// The node's name.
    pub(crate) hostname: &'a str,
    /// The event in one line.
    pub(crate) raw: &'a str,
}

/// Response to `GET /v1/nodes/{id}/secrets/{key}`.
#[derive(Debug, Deserialize)]
pub(crate) struct SealedSecret {
    /// In base64, with the tag at the end.
    pub(crate) ciphertext: String,
    /// 12 bytes, in base64.
    pub(crate) nonce: String,
}

/// An event of the event stream. The payload is ignored, because the agent fetches the whole state.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    /// `node_state_updated`, or a type that the agent ignores.
    pub(crate) event_type: String,
}
