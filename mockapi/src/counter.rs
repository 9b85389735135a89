//! The counters of the assertion interface, and tables with one value per counter.
//!
//! This module knows only names and order; [`Endpoint`](crate::Endpoint) determines which counter a call increments.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Index, IndexMut};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! counters {
    ($($variant:ident = $name:literal,)+) => {
        /// A counter of the assertion interface, in display order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl Counter {
            /// Every counter, in display order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The counter's key in JSON, for example `heartbeat_count`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

counters! {
    Registration = "registration_count",
    Heartbeat = "heartbeat_count",
    State = "state_count",
    Capabilities = "capabilities_count",
    Drift = "drift_count",
    Metrics = "metrics_count",
    Logs = "logs_count",
    Audit = "audit_count",
    Secrets = "secrets_count",
    Metadata = "metadata_count",
    Deregister = "deregister_count",
    KeyRotate = "key_rotate_count",
    Endpoint = "endpoint_count",
    Report = "report_count",
    ExecutionAck = "execution_ack_count",
    ExecutionResult = "execution_result_count",
    TunnelReady = "tunnel_ready_count",
    TunnelClosed = "tunnel_closed_count",
    IntegrityViolation = "integrity_violation_count",
    Artifact = "artifact_count",
    LocalMetrics = "local_metrics_count",
    LocalLogs = "local_logs_count",
    LocalAudit = "local_audit_count",
    InjectEvent = "inject_event_count",
}

impl Counter {
    /// The counter with this name, if any.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|counter| counter.name() == name)
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One value per counter.
///
/// Serialized as an object in the order of the counters. When such an object is read, unknown keys are ignored and
/// missing counters get the default, so that other implementations of the mock may report more or fewer counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerCounter<T>([T; Counter::ALL.len()]);

/// The number of calls; serialized with all counters, including zeros.
pub type Counters = PerCounter<u64>;

/// The counters of all nodes together, including calls that count for no node.
pub type Totals = Counters;

/// The time of the last call; serialized without calls that were never made.
pub type LastAt = PerCounter<Option<Timestamp>>;

impl<T> PerCounter<T> {
    /// Every counter with its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, &T)> {
        Counter::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Counter> for PerCounter<T> {
    type Output = T;

    fn index(&self, counter: Counter) -> &T {
        &self.0[counter as usize]
    }
}

impl<T> IndexMut<Counter> for PerCounter<T> {
    fn index_mut(&mut self, counter: Counter) -> &mut T {
        &mut self.0[counter as usize]
    }
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(counter, count)| (counter.name(), count)))
    }
}

impl Serialize for LastAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.iter()
                .filter_map(|(counter, at)| Some((counter.name(), at.as_ref()?))),
        )
    }
}

impl<'de, T: Default + DeserializeOwned> Deserialize<'de> for PerCounter<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Self(std::array::from_fn(|_| T::default()));
        for (name, value) in BTreeMap::<String, T>::deserialize(deserializer)? {
            if let Some(counter) = Counter::from_name(&name) {
                table[counter] = value;
            }
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_counters_are_written_in_order() {
        let mut counters = Counters::default();
        counters[Counter::Heartbeat] = 7;
        let text = serde_json::to_string(&counters).unwrap();
        let places: Vec<_> = Counter::ALL
            .iter()
            .map(|counter| text.find(&format!("\"{counter}\":")).unwrap())
            .collect();
        assert!(places.is_sorted(), "{text}");
        assert_eq!(serde_json::from_str::<Counters>(&text).unwrap(), counters);
    }

    #[test]
    fn unknown_names_are_ignored_and_missing_ones_get_the_default() {
        let counters: Counters =
            serde_json::from_str(r#"{"heartbeat_count":3,"teleport_count":9}"#).unwrap();
        assert_eq!(counters[Counter::Heartbeat], 3);
        assert_eq!(counters[Counter::Audit], 0);
    }

    #[test]
    fn calls_that_were_never_made_have_no_time() {
        let mut last_at = LastAt::default();
        last_at[Counter::Drift] = Some(Timestamp::UNIX_EPOCH);
        let text = serde_json::to_string(&last_at).unwrap();
        assert_eq!(text, r#"{"drift_count":"1970-01-01T00:00:00Z"}"#);
        assert_eq!(serde_json::from_str::<LastAt>(&text).unwrap(), last_at);
    }
}
