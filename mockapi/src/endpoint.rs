//! The endpoints that an agent calls: their names and counters.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::counter::Counter;

macro_rules! endpoints {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal => $counter:expr,)+) => {
        /// An endpoint that an agent calls. `/test/last-request/{endpoint}` and `/test/faults` use its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Endpoint {
            $($(#[$doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl Endpoint {
            /// Every endpoint, in the contract's order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The endpoint's name, for example `heartbeat` or `local_metrics`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The counter that a call increments; `None` if calls aren't counted.
            pub const fn counter(self) -> Option<Counter> {
                match self { $(Self::$variant => $counter,)+ }
            }
        }
    };
}

endpoints! {
    /// `GET /v1/ping`
    Ping = "ping" => None,
    /// `POST /v1/register`
    Register = "register" => Some(Counter::Registration),
    /// `POST /v1/nodes/{id}/heartbeat`
    Heartbeat = "heartbeat" => Some(Counter::Heartbeat),
    /// `GET /v1/nodes/{id}/state`
    State = "state" => Some(Counter::State),
    /// `PUT /v1/nodes/{id}/capabilities`
    Capabilities = "capabilities" => Some(Counter::Capabilities),
    /// `POST /v1/nodes/{id}/drift`
    Drift = "drift" => Some(Counter::Drift),
    /// `POST /v1/nodes/{id}/metrics`
    Metrics = "metrics" => Some(Counter::Metrics),
    /// `POST /v1/nodes/{id}/logs`
    Logs = "logs" => Some(Counter::Logs),
    /// `POST /v1/nodes/{id}/audit`
    Audit = "audit" => Some(Counter::Audit),
    /// `GET /v1/nodes/{id}/secrets/{key}`
    Secrets = "secrets" => Some(Counter::Secrets),
    /// `GET /v1/nodes/{id}/events`
    Events = "events" => None,
    /// `GET /v1/nodes/{id}/metadata`
    Metadata = "metadata" => Some(Counter::Metadata),
    /// `POST /v1/nodes/{id}/deregister`
    Deregister = "deregister" => Some(Counter::Deregister),
    /// `POST /v1/keys/rotate`
    KeyRotate = "key_rotate" => Some(Counter::KeyRotate),
    /// `PUT /v1/nodes/{id}/endpoint`
    Endpoint = "endpoint" => Some(Counter::Endpoint),
    /// `POST /v1/nodes/{id}/report`
    Report = "report" => Some(Counter::Report),
    /// `POST /v1/nodes/{id}/executions/{eid}/ack`
    ExecutionAck = "execution_ack" => Some(Counter::ExecutionAck),
    /// `POST /v1/nodes/{id}/executions/{eid}/result`
    ExecutionResult = "execution_result" => Some(Counter::ExecutionResult),
    /// `POST /v1/nodes/{id}/tunnels/{sid}/ready`
    TunnelReady = "tunnel_ready" => Some(Counter::TunnelReady),
    /// `POST /v1/nodes/{id}/tunnels/{sid}/closed`
    TunnelClosed = "tunnel_closed" => Some(Counter::TunnelClosed),
    /// `POST /v1/nodes/{id}/integrity/violations`
    IntegrityViolation = "integrity_violation" => Some(Counter::IntegrityViolation),
    /// `GET /v1/artifacts/plexd/{version}/{os}/{arch}`
    Artifact = "artifact" => Some(Counter::Artifact),
    /// `POST /local/metrics`, over TLS
    LocalMetrics = "local_metrics" => Some(Counter::LocalMetrics),
    /// `POST /local/logs`, over TLS
    LocalLogs = "local_logs" => Some(Counter::LocalLogs),
    /// `POST /local/audit`, over TLS
    LocalAudit = "local_audit" => Some(Counter::LocalAudit),
}

impl Endpoint {
    /// The endpoint with this name, if any.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.name() == name)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
