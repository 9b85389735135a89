//! What the assertion interface answers with, as types that a client can read back.
//!
//! Data only: no behaviour, no I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::counter::{Counter, Counters, LastAt, PerCounter, Totals};

/// One event of `GET /test/assertions/stream`: the counters of all, and of the nodes that changed
/// since the event before. The first event of a stream carries every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Random per process of the mock: another one means that the mock was restarted and its memory
    /// lost.
    pub instance: String,
    /// The flat counters.
    pub assertions: Totals,
    /// The nodes, by node id.
    pub nodes: BTreeMap<String, NodeView>,
}

/// The answer of `GET /test/assertions/nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// As [`Snapshot::instance`].
    pub instance: String,
    /// Every node, by node id.
    pub nodes: BTreeMap<String, NodeView>,
}

/// What the mock saw of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// The name it registered under; `None` for a stranger (called without having registered) and
    /// for a registration without one.
    pub hostname: Option<String>,
    /// When its first counted call came.
    pub first_seen: Timestamp,
    /// When its last counted call came.
    pub last_seen: Timestamp,
    /// The newest `timestamp` of a `process_start` entry among its audit entries.
    pub last_process_start: Option<Timestamp>,
    /// How many processes reported their start: the distinct timestamps of its `process_start` entries, so that an entry
    /// that is sent again counts once. `None` if the mock doesn't count them.
    #[serde(default)]
    pub process_starts: Option<u64>,
    /// How often it made each call.
    pub counters: Counters,
    /// When it made each call last.
    pub last_at: LastAt,
}

/// The answer of `GET /test/last-requests/{endpoint}`: the last body that each node sent, by node id, in standard base64.
pub type LastRequests = BTreeMap<String, String>;
