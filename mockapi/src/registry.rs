//! The mock's memory: nodes, their credentials, counters and last bodies, and whose call a call is.
//!
//! Plain data behind one lock ([`App`](crate::state::App) holds it): every change moves the
//! counters of the node and of the whole in one step, so that their sums agree at any moment. Does
//! no I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::call::Payload;
use crate::counter::{Counter, Counters, LastAt, Totals};
use crate::endpoint::Endpoint;
use crate::identity;
use crate::view::NodeView;

/// A node: one that registered, or a stranger that a path named.
pub(crate) struct Node {
    id: String,
    /// The newest secret key. A stranger has one too, which nobody was told.
    pub(crate) key: String,
    /// What it shall post to the local endpoint with.
    pub(crate) local_token: String,
    mesh_ip: Option<Ipv4Addr>,
    view: NodeView,
    bodies: BTreeMap<Endpoint, Arc<Payload>>,
    /// When its processes started, by its own clock.
    starts: BTreeSet<Timestamp>,
    /// The registry's version at this node's last change.
    version: u64,
}

/// What a registration gave the node.
pub(crate) struct Registered {
    pub(crate) node_id: String,
    pub(crate) mesh_ip: Ipv4Addr,
    pub(crate) key: String,
}

/// The mesh has no address for another node.
#[derive(Debug, thiserror::Error)]
#[error("no mesh address is left")]
pub(crate) struct MeshExhausted;

/// Where a follower of the counters stands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// How often the memory was cleared.
    pub(crate) epoch: u64,
    /// How many changes there were since.
    pub(crate) version: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Registry {
    position: Position,
    totals: Totals,
    nodes: Vec<Node>,
    ids: HashMap<String, usize>,
    /// Every key that was ever given out, also those that a newer one replaced.
    keys: HashMap<String, usize>,
    local_tokens: HashMap<String, usize>,
    bodies: BTreeMap<Endpoint, Arc<Payload>>,
    anonymous: u64,
    mesh_addresses: u32,
}

impl Registry {
    /// Forgets everything, but not that there was something.
    pub(crate) fn clear(&mut self) {
        let epoch = self.position.epoch + 1;
        *self = Self {
            position: Position { epoch, version: 0 },
            ..Self::default()
        };
    }

    /// The id of the node that owns the key `bearer`.
    pub(crate) fn key_owner(&self, bearer: &str) -> Option<&str> {
        self.keys
            .get(bearer)
            .map(|&index| self.nodes[index].id.as_str())
    }

    /// Whose call this is: the key's owner's; without a known key, the node's that is named.
    pub(crate) fn attribute(&mut self, bearer: Option<&str>, named: &str, now: Timestamp) -> usize {
        let owner = bearer.and_then(|bearer| self.keys.get(bearer)).copied();
        owner.unwrap_or_else(|| self.node_named(named, now))
    }

    /// The node that posts to the local endpoint with this token.
    pub(crate) fn local_token_owner(&self, token: &str) -> Option<usize> {
        self.local_tokens.get(token).copied()
    }

    /// Gives the node of this name its id, its address and a new key. No name makes another node
    /// each time.
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

    /// Notes when processes of the node started, as audit entries say that [`Registry::record`] is about to keep.
    pub(crate) fn note_process_starts(&mut self, index: usize, starts: Vec<Timestamp>) {
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

    /// Counts what belongs to no node.
    pub(crate) fn count(&mut self, counter: Counter) {
        self.totals[counter] += 1;
        self.position.version += 1;
    }

    /// The flat counters.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// Where the memory stands now.
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

    /// The last body that came to `endpoint`: from anyone, or from one node.
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
            // A stranger may have called under that very name.
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

    /// The node of that id, made where there was none.
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
