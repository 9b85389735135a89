//! The mock's memory: nodes, credentials, counters and last bodies, and which node a call counts for.
//!
//! Plain data behind one lock, which [`App`](crate::state::App) holds. Every change updates the counters of the node
//! and the totals in one step, so that sums are always consistent. Does no I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::call::Payload;
use crate::counter::{Counter, Counters, LastAt, Totals};
use crate::endpoint::Endpoint;
use crate::identity;
use crate::view::NodeView;

/// A node: one that registered, or a stranger that was only named in a path.
pub(crate) struct Node {
    id: String,
    /// The newest secret key. A stranger has a key too, but it was never sent.
    pub(crate) key: String,
    /// The bearer token for the local endpoint.
    pub(crate) local_token: String,
    mesh_ip: Option<Ipv4Addr>,
    view: NodeView,
    bodies: BTreeMap<Endpoint, Arc<Payload>>,
    /// The start times of its processes, according to its own clock.
    starts: BTreeSet<Timestamp>,
    /// The version of the registry at the node's last change.
    version: u64,
}

/// The result of a registration.
pub(crate) struct Registered {
    pub(crate) node_id: String,
    pub(crate) mesh_ip: Ipv4Addr,
    pub(crate) key: String,
}

/// The mesh has no more addresses.
#[derive(Debug, thiserror::Error)]
#[error("all mesh addresses are in use")]
pub(crate) struct MeshExhausted;

/// The position of a follower of the counters.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// How many times the memory was cleared.
    pub(crate) epoch: u64,
    /// The number of changes since then.
    pub(crate) version: u64,
}

/// The nodes and counters of one mock.
#[derive(Default)]
pub(crate) struct Registry {
    position: Position,
    totals: Totals,
    nodes: Vec<Node>,
    ids: HashMap<String, usize>,
    /// Every key that was ever issued, including replaced ones.
    keys: HashMap<String, usize>,
    local_tokens: HashMap<String, usize>,
    bodies: BTreeMap<Endpoint, Arc<Payload>>,
    anonymous: u64,
    mesh_addresses: u32,
}

impl Registry {
    /// Forgets everything except how many times it was cleared.
    pub(crate) fn clear(&mut self) {
        let epoch = self.position.epoch + 1;
        *self = Self {
            position: Position { epoch, version: 0 },
            ..Self::default()
        };
    }

    /// The id of the node with the key `bearer`.
    pub(crate) fn key_owner(&self, bearer: &str) -> Option<&str> {
        self.keys
            .get(bearer)
            .map(|&index| self.nodes[index].id.as_str())
    }

    /// The node that a call counts for: the owner of its key, or, without a known key, the node that the call names.
    pub(crate) fn attribute(&mut self, bearer: Option<&str>, named: &str, now: Timestamp) -> usize {
        let owner = bearer.and_then(|bearer| self.keys.get(bearer)).copied();
        owner.unwrap_or_else(|| self.node_named(named, now))
    }

    /// The node with this token for the local endpoint.
    pub(crate) fn local_token_owner(&self, token: &str) -> Option<usize> {
        self.local_tokens.get(token).copied()
    }

    /// Registers the node with this hostname, and issues a new key. A node that registers again keeps its id and its
    /// address. Without a hostname, each call creates another node.
    pub(crate) fn register(
        &mut self,
        hostname: Option<&str>,
        now: Timestamp,
    ) -> Result<(usize, Registered), MeshExhausted> {
        let node_id = hostname.map_or_else(|| self.next_anonymous_id(), identity::node_id);
        let mesh_ip = self.mesh_address_of(&node_id)?;
        let index = self.node_named(&node_id, now);
        let key = identity::credential();
        self.keys.insert(key.clone(), index);
        let node = &mut self.nodes[index];
        node.key.clone_from(&key);
        node.mesh_ip = Some(mesh_ip);
        node.view.hostname = hostname.map(str::to_owned);
        Ok((
            index,
            Registered {
                node_id,
                mesh_ip,
                key,
            },
        ))
    }

    /// Records the process starts in the audit entries of a call. Call this before [`Registry::record`], which keeps
    /// the entries.
    pub(crate) fn record_process_starts(&mut self, index: usize, starts: Vec<Timestamp>) {
        let node = &mut self.nodes[index];
        node.starts.extend(starts);
        node.view.last_process_start = node.starts.last().copied();
        node.view.process_starts = Some(node.starts.len() as u64);
    }

    /// Counts a call of a node and keeps its body.
    pub(crate) fn record(
        &mut self,
        index: usize,
        endpoint: Endpoint,
        payload: Payload,
        now: Timestamp,
    ) -> &Node {
        let payload = Arc::new(payload);
        self.bodies.insert(endpoint, Arc::clone(&payload));
        if let Some(counter) = endpoint.counter() {
            self.count(counter);
            self.nodes[index].count(counter, now);
        }
        let node = &mut self.nodes[index];
        node.bodies.insert(endpoint, payload);
        node.version = self.position.version;
        node
    }

    /// Counts a call that belongs to no node.
    pub(crate) fn count(&mut self, counter: Counter) {
        self.totals[counter] += 1;
        self.position.version += 1;
    }

    /// The totals.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// The current position.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The nodes that changed after `version`; after 0, all of them.
    pub(crate) fn nodes_since(&self, version: u64) -> BTreeMap<String, NodeView> {
        let changed = self.nodes.iter().filter(|node| node.version > version);
        changed
            .map(|node| (node.id.clone(), node.view.clone()))
            .collect()
    }

    /// The last body that `endpoint` received: from the node `node_id`, or from any node if that is `None`.
    pub(crate) fn last_body(
        &self,
        endpoint: Endpoint,
        node_id: Option<&str>,
    ) -> Option<Arc<Payload>> {
        let bodies = match node_id {
            Some(id) => &self.nodes[*self.ids.get(id)?].bodies,
            None => &self.bodies,
        };
        bodies.get(&endpoint).cloned()
    }

    /// The last body that each node sent to `endpoint`, by node id.
    pub(crate) fn last_bodies(&self, endpoint: Endpoint) -> BTreeMap<String, Arc<Payload>> {
        let body = |node: &Node| Some((node.id.clone(), Arc::clone(node.bodies.get(&endpoint)?)));
        self.nodes.iter().filter_map(body).collect()
    }

    fn next_anonymous_id(&mut self) -> String {
        loop {
            self.anonymous += 1;
            let id = identity::anonymous_id(self.anonymous);
            // A stranger may already have used this id.
            if !self.ids.contains_key(&id) {
                return id;
            }
        }
    }

    fn mesh_address_of(&mut self, node_id: &str) -> Result<Ipv4Addr, MeshExhausted> {
        let known = self
            .ids
            .get(node_id)
            .and_then(|&index| self.nodes[index].mesh_ip);
        if let Some(address) = known {
            return Ok(address);
        }
        let address = identity::mesh_ip(self.mesh_addresses).ok_or(MeshExhausted)?;
        self.mesh_addresses += 1;
        Ok(address)
    }

    /// The node with this id, created if it doesn't exist.
    fn node_named(&mut self, id: &str, now: Timestamp) -> usize {
        if let Some(&index) = self.ids.get(id) {
            return index;
        }
        let index = self.nodes.len();
        let node = Node::new(id, now);
        self.local_tokens.insert(node.local_token.clone(), index);
        self.ids.insert(id.to_owned(), index);
        self.nodes.push(node);
        index
    }
}

impl Node {
    fn new(id: &str, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            key: identity::credential(),
            local_token: identity::credential(),
            mesh_ip: None,
            view: NodeView {
                hostname: None,
                first_seen: now,
                last_seen: now,
                last_process_start: None,
                process_starts: Some(0),
                counters: Counters::default(),
                last_at: LastAt::default(),
            },
            bodies: BTreeMap::new(),
            starts: BTreeSet::new(),
            version: 0,
        }
    }

    fn count(&mut self, counter: Counter, now: Timestamp) {
        self.view.last_seen = now;
        self.view.counters[counter] += 1;
        self.view.last_at[counter] = Some(now);
    }
}
