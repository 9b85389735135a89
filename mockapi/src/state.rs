//! The state that all handlers of one mock share. Every lock of the mock is a field of `App`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::call::{Call, Caller, Payload};
use crate::counter::Counter;
use crate::endpoint::Endpoint;
use crate::faults::ActiveFaults;
use crate::fixture::Fixture;
use crate::identity;
use crate::problem::Problem;
use crate::registry::{Node, Position, Registered, Registry};
use crate::signer::{Envelope, Signer, SigningKeyError};
use crate::view::{LastRequests, Nodes, Snapshot, Totals};

/// How many events a reader may lag behind before it loses the oldest.
const EVENT_BACKLOG: usize = 256;

/// The node of a call that has neither a known key nor a node's name.
const NAMELESS: &str = "unknown";

/// The state of one mock, shared by both listeners.
pub(crate) type Shared = Arc<App>;

/// The state of one mock; see the module.
pub(crate) struct App {
    instance: String,
    pub(crate) signer: Signer,
    registry: Mutex<Registry>,
    state: Mutex<Arc<Fixture>>,
    heartbeat: Mutex<Arc<Fixture>>,
    pub(crate) faults: Mutex<ActiveFaults>,
    changes: watch::Sender<()>,
    events: broadcast::Sender<Envelope>,
    /// Ends every open stream.
    pub(crate) ending: CancellationToken,
}

impl App {
    pub(crate) fn new(ending: CancellationToken) -> Result<Self, SigningKeyError> {
        let signer = Signer::generate()?;
        Ok(Self {
            instance: identity::random_text(16),
            registry: Mutex::default(),
            state: Mutex::new(Arc::new(Fixture::state(&signer.public_key()))),
            heartbeat: Mutex::new(Arc::new(Fixture::heartbeat())),
            faults: Mutex::default(),
            changes: watch::Sender::new(()),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            signer,
            ending,
        })
    }

    /// Checks the caller's key if `auth: strict` is active: a call on a node's path needs a key of that node, and a key
    /// rotation needs the key of any node.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<(), Problem> {
        let is_guarded = caller.node.is_some() || caller.endpoint == Endpoint::KeyRotate;
        if !is_guarded || !lock(&self.faults).is_strict() {
            return Ok(());
        }
        let registry = lock(&self.registry);
        let owner = caller
            .bearer
            .as_deref()
            .and_then(|bearer| registry.key_owner(bearer));
        match (owner, caller.node.as_deref()) {
            (None, _) => Err(Problem::unauthorized(
                "the bearer token is not a node's key",
            )),
            (Some(owner), Some(node)) if owner != node => Err(Problem::unauthorized(
                "the bearer token is another node's key",
            )),
            (Some(_), _) => Ok(()),
        }
    }

    /// Counts a call for its node, and returns what `read` returns for that node.
    pub(crate) fn count<T>(&self, call: Call, read: impl FnOnce(&Node) -> T) -> T {
        let Call { caller, payload } = call;
        let named = caller.node.as_deref().unwrap_or(NAMELESS);
        tracing::debug!(endpoint = %caller.endpoint, named, "counting a call");
        let is_audit = caller.endpoint == Endpoint::Audit;
        let starts = if is_audit {
            payload.process_starts()
        } else {
            Vec::new()
        };
        self.change(|registry, now| {
            let index = registry.attribute(caller.bearer.as_deref(), named, now);
            registry.record_process_starts(index, starts);
            read(registry.record(index, caller.endpoint, payload, now))
        })
    }

    /// Registers a node and counts the call.
    pub(crate) fn register(
        &self,
        hostname: Option<&str>,
        payload: Payload,
    ) -> Result<Registered, Problem> {
        self.change(|registry, now| {
            let (index, registered) = registry.register(hostname, now).map_err(|exhausted| {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, exhausted.to_string())
            })?;
            registry.record(index, Endpoint::Register, payload, now);
            Ok(registered)
        })
    }

    /// Counts a post to the local endpoint for the node with the token.
    pub(crate) fn count_local(
        &self,
        endpoint: Endpoint,
        token: &str,
        payload: Payload,
    ) -> Result<(), Problem> {
        self.change(|registry, now| {
            let owner = registry.local_token_owner(token);
            let index = owner.ok_or_else(|| {
                Problem::unauthorized("the bearer token is not a node's local token")
            })?;
            registry.record(index, endpoint, payload, now);
            Ok(())
        })
    }

    /// Counts a call that belongs to no node.
    pub(crate) fn count_unowned(&self, counter: Counter) {
        self.change(|registry, _| registry.count(counter));
    }

    /// Resets counters, bodies, nodes and faults. Configured fixtures are kept.
    pub(crate) fn reset(&self) {
        *lock(&self.faults) = ActiveFaults::default();
        self.change(|registry, _| registry.clear());
    }

    pub(crate) fn totals(&self) -> Totals {
        lock(&self.registry).totals()
    }

    pub(crate) fn nodes(&self) -> Nodes {
        Nodes {
            instance: self.instance.clone(),
            nodes: lock(&self.registry).nodes_since(0),
        }
    }

    /// The current counters, and the nodes that changed since `seen`; `None` if the memory was cleared since.
    pub(crate) fn snapshot(&self, seen: Position) -> Option<(Position, Snapshot)> {
        let registry = lock(&self.registry);
        let position = registry.position();
        (position.epoch == seen.epoch).then(|| {
            let assertions = registry.totals();
            let nodes = registry.nodes_since(seen.version);
            (
                position,
                Snapshot {
                    instance: self.instance.clone(),
                    assertions,
                    nodes,
                },
            )
        })
    }

    /// The initial position of a follower.
    pub(crate) fn start_position(&self) -> Position {
        Position {
            version: 0,
            ..lock(&self.registry).position()
        }
    }

    /// A receiver that is notified of every change of a counter.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(crate) fn last_body(
        &self,
        endpoint: Endpoint,
        node_id: Option<&str>,
    ) -> Option<Arc<Payload>> {
        lock(&self.registry).last_body(endpoint, node_id)
    }

    pub(crate) fn last_bodies(&self, endpoint: Endpoint) -> LastRequests {
        let bodies = lock(&self.registry).last_bodies(endpoint);
        let encoded = |(id, body): (String, Arc<Payload>)| (id, STANDARD.encode(&body.bytes));
        bodies.into_iter().map(encoded).collect()
    }

    pub(crate) fn state(&self) -> Arc<Fixture> {
        Arc::clone(&lock(&self.state))
    }

    pub(crate) fn heartbeat(&self) -> Arc<Fixture> {
        Arc::clone(&lock(&self.heartbeat))
    }

    pub(crate) fn configure_state(&self, fixture: Fixture) {
        *lock(&self.state) = Arc::new(fixture);
    }

    pub(crate) fn configure_heartbeat(&self, fixture: Fixture) {
        *lock(&self.heartbeat) = Arc::new(fixture);
    }

    /// Sends an event to all open event streams.
    pub(crate) fn publish(&self, envelope: Envelope) {
        // It isn't an error if no stream is open.
        drop(self.events.send(envelope));
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Envelope> {
        self.events.subscribe()
    }

    /// Changes the registry, and then notifies followers.
    fn change<T>(&self, change: impl FnOnce(&mut Registry, Timestamp) -> T) -> T {
        let result = change(&mut lock(&self.registry), Timestamp::now());
        self.changes.send_replace(());
        result
    }
}

/// Locks `mutex`, even if it is poisoned: no code panics in the middle of a change, so the data is consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
