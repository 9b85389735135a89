//! The counters that the suite itself knows: the mock's names, and the endpoint of each. A mock may report others.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A counter that the suite checks unless the matrix file says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counter {
    /// `POST /v1/register`.
    RegistrationCount,
    /// `POST /v1/nodes/{id}/heartbeat`.
    HeartbeatCount,
    /// `GET /v1/nodes/{id}/state`.
    StateCount,
    /// `PUT /v1/nodes/{id}/capabilities`.
    CapabilitiesCount,
    /// `POST /v1/nodes/{id}/drift`.
    DriftCount,
    /// `POST /v1/nodes/{id}/metrics`.
    MetricsCount,
    /// `POST /v1/nodes/{id}/logs`.
    LogsCount,
    /// `POST /v1/nodes/{id}/audit`.
    AuditCount,
    /// `POST /local/metrics`, over TLS.
    LocalMetricsCount,
    /// `POST /local/logs`, over TLS.
    LocalLogsCount,
    /// `POST /local/audit`, over TLS.
    LocalAuditCount,
}

impl Counter {
    /// The eight counters of the Central API.
    pub const PLATFORM: [Self; 8] = [
        Self::RegistrationCount,
        Self::HeartbeatCount,
        Self::StateCount,
        Self::CapabilitiesCount,
        Self::DriftCount,
        Self::MetricsCount,
        Self::LogsCount,
        Self::AuditCount,
    ];
    /// The three counters of the local endpoint.
    pub const LOCAL: [Self; 3] = [
        Self::LocalMetricsCount,
        Self::LocalLogsCount,
        Self::LocalAuditCount,
    ];

    /// All of them, platform counters first, in the order of the mock's response.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::PLATFORM.into_iter().chain(Self::LOCAL)
    }

    /// The key in the mock's response and in `expect`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RegistrationCount => "registration_count",
            Self::HeartbeatCount => "heartbeat_count",
            Self::StateCount => "state_count",
            Self::CapabilitiesCount => "capabilities_count",
            Self::DriftCount => "drift_count",
            Self::MetricsCount => "metrics_count",
            Self::LogsCount => "logs_count",
            Self::AuditCount => "audit_count",
            Self::LocalMetricsCount => "local_metrics_count",
            Self::LocalLogsCount => "local_logs_count",
            Self::LocalAuditCount => "local_audit_count",
        }
    }

    /// The name of the endpoint whose requests are counted, if they have a body.
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

    /// The counter of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|counter| counter.name() == name)
    }
}

impl AsRef<str> for Counter {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
