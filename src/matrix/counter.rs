//! The suite's own counters: their names in the mock's response, and the endpoint of each. A mock may also report other
//! counters.

use serde::{Deserialize, Serialize};

use super::named;

named! {
    /// A counter that the suite checks unless the matrix file says otherwise. The variants are in the order of the
    /// mock's response: first the platform counters, then those of the local endpoint.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Counter {
        /// `POST /v1/register`.
        RegistrationCount = "registration_count",
        /// `POST /v1/nodes/{id}/heartbeat`.
        HeartbeatCount = "heartbeat_count",
        /// `GET /v1/nodes/{id}/state`.
        StateCount = "state_count",
        /// `PUT /v1/nodes/{id}/capabilities`.
        CapabilitiesCount = "capabilities_count",
        /// `POST /v1/nodes/{id}/drift`.
        DriftCount = "drift_count",
        /// `POST /v1/nodes/{id}/metrics`.
        MetricsCount = "metrics_count",
        /// `POST /v1/nodes/{id}/logs`.
        LogsCount = "logs_count",
        /// `POST /v1/nodes/{id}/audit`.
        AuditCount = "audit_count",
        /// `POST /local/metrics`, over TLS.
        LocalMetricsCount = "local_metrics_count",
        /// `POST /local/logs`, over TLS.
        LocalLogsCount = "local_logs_count",
        /// `POST /local/audit`, over TLS.
        LocalAuditCount = "local_audit_count",
    }
}

impl Counter {
    /// The eight counters of the Central API.
    pub const PLATFORM: [Self; 8] = *Self::ALL.first_chunk().expect("there are 8 or more");
    /// The three counters of the local endpoint.
    pub const LOCAL: [Self; 3] = *Self::ALL.last_chunk().expect("there are 3 or more");

    /// The name of the counted endpoint; `None` if its requests have no body.
    pub const fn body(self) -> Option<&'static str> {
        match self {
            Self::RegistrationCount => Some("register"),
            Self::HeartbeatCount => Some("heartbeat"),
            Self::StateCount => None,
            Self::CapabilitiesCount => Some("capabilities"),
            Self::DriftCount => Some("drift"),
            Self::MetricsCount => Some("metrics"),
            Self::LogsCount => Some("logs"),
            Self::AuditCount => Some("audit"),
            Self::LocalMetricsCount => Some("local_metrics"),
            Self::LocalLogsCount => Some("local_logs"),
            Self::LocalAuditCount => Some("local_audit"),
        }
    }
}

impl AsRef<str> for Counter {
    fn as_ref(&self) -> &str {
        self.name()
    }
}
