//! The audit source: the agent's actions, in order.

use std::sync::Arc;

use serde_json::{Value, json};

use super::buffer::{Buffer, Entry};
use super::collector::Source;
use crate::wire::AuditEntry;

/// Entries that haven't been collected yet, and the name of their node.
#[derive(Debug, Clone)]
pub(crate) struct Trail {
    hostname: Arc<str>,
    waiting: Arc<Buffer>,
}

impl Trail {
    /// The audit trail of a node.
    pub(crate) fn new(hostname: &str) -> Self {
        Self {
            hostname: hostname.into(),
            waiting: Arc::default(),
        }
    }

    /// Records the start of the process, which is the first entry.
    pub(crate) fn process_started(&self) {
        let version = env!("CARGO_PKG_VERSION");
        self.record(
            "process_start",
            json!({"binary": "plexd", "version": version}),
            "start",
            "process started",
        );
    }

    /// Records that the node got an identity from the Central API.
    pub(crate) fn registered(&self, node_id: &str) {
        self.record(
            "node_registered",
            json!({"node_id": node_id}),
            "register",
            "node registered",
        );
    }

    fn record(&self, event_type: &'static str, object: Value, action: &'static str, raw: &str) {
        self.waiting.push(Entry::new(&AuditEntry {
            timestamp: crate::clock::now(),
            source: "plexd",
            event_type,
            subject: json!({"pid": std::process::id()}),
            object,
            action,
            result: "success",
            hostname: &self.hostname,
            raw,
        }));
    }
}

impl Source for Trail {
    fn collect(&mut self) -> Vec<Entry> {
        self.waiting.drain()
    }

    fn remainder(&mut self) -> Vec<Entry> {
        self.collect()
    }

    fn take_dropped(&mut self) -> u64 {
        self.waiting.take_dropped()
    }
}
