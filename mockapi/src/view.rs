//! The responses of the assertion interface, as types that a client can deserialize.
//!
//! Data only: no behavior, no I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::counter::{Counter, Counters, LastAt, PerCounter, Totals};

/// One event of `GET /test/assertions/stream`: the totals, and the nodes that changed since the previous event. The
/// first event of a stream contains all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// A random value for each process of the mock. If it changes, the mock was restarted and its memory is lost.
    pub instance: String,
    /// The totals.
    pub assertions: Totals,
    /// The nodes, by node id.
    pub nodes: BTreeMap<String, NodeView>,
}

/// The response of `GET /test/assertions/nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// Like [`Snapshot::instance`].
    pub instance: String,
    /// Every node, by node id.
    pub nodes: BTreeMap<String, NodeView>,
}

/// The mock's records of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// The name that the node registered with. `None` if it registered without a name, or made calls without
    /// registering.
    pub hostname: Option<String>,
    /// The time of its first counted call.
    pub first_seen: Timestamp,
    /// The time of its last counted call.
    pub last_seen: Timestamp,
    /// The newest `timestamp` of a `process_start` entry among its audit entries.
    pub last_process_start: Option<Timestamp>,
    /// How many processes reported their start: the distinct timestamps of its `process_start` entries, so that a
    /// repeated entry counts once. `None` if the mock doesn't count them.
    #[serde(default)]
    pub process_starts: Option<u64>,
    /// The number of calls.
    pub counters: Counters,
    /// The time of the last call.
    pub last_at: LastAt,
}

/// The response of `GET /test/last-requests/{endpoint}`: the last body that each node sent, by node id, in standard
/// base64.
pub type LastRequests = BTreeMap<String, String>;
