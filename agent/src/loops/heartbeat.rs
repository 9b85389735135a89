//! The heartbeat loop: sends a heartbeat immediately, and then once per interval.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Instant;

use ring::digest::{Context, SHA256};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::agent::Node;
use crate::api::ApiError;
use crate::config;
use crate::fault::Fault;
use crate::identity::Identity;
use crate::retry::{chain, until_done};
use crate::wire;

/// The binary is hashed after this many acknowledged heartbeats, which most cells never reach. If a thousand agents on
/// one machine hashed it while a cell is running, they would keep the processors busy for most of a minute.
const BEATS_BEFORE_CHECKSUM: u64 = 30;

/// The checksum of the running binary, once it is known.
type Checksum = Arc<OnceLock<String>>;

/// The state that the heartbeats of one process share.
struct Heart {
    node: Arc<Node>,
    configured_id: Option<String>,
    started: Instant,
    checksum: Checksum,
}

/// Sends heartbeats until the future is dropped or a fault stops them.
pub(crate) async fn run(node: Arc<Node>, config: config::Heartbeat) {
    if is_disabled(&node) {
        return;
    }
    let mut ticks = tokio::time::interval(config.interval.get());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let heart = Heart {
        node,
        configured_id: config.node_id,
        started: Instant::now(),
        checksum: Checksum::default(),
    };
    let mut acknowledged = 0_u64;
    loop {
        ticks.tick().await;
        if !heart.beat().await {
            continue;
        }
        acknowledged += 1;
        match acknowledged {
            1 => info!("the first heartbeat was acknowledged"),
            BEATS_BEFORE_CHECKSUM => spawn_checksum(&heart.checksum),
            _ => {}
        }
        let has = |fault| heart.node.faults.has(fault);
        if heart.node.restarted && has(Fault::EndsAfterRestart) {
            std::process::exit(0);
        }
        let once_now = heart.node.restarted && has(Fault::HeartbeatOnceAfterRestart);
        if once_now || has(Fault::HeartbeatOnce) {
            return;
        }
    }
}

fn is_disabled(node: &Node) -> bool {
    node.faults.has(Fault::NoHeartbeat)
        || (node.restarted && node.faults.has(Fault::HeartbeatDiesOnRestart))
}

impl Heart {
    /// Sends one heartbeat, and retries until it is acknowledged or its credential is rejected. Returns whether it was
    /// acknowledged. After a rejection, the agent registers again, and the next heartbeat follows after the usual
    /// interval, so that an API that rejects everything isn't flooded.
    async fn beat(&self) -> bool {
        let stop = &self.node.stop;
        let is_permanent = ApiError::is_unauthorized;
        match until_done("the heartbeat", stop, is_permanent, || self.attempt()).await {
            Ok(answer) => {
                if answer.reconcile {
                    self.node.reconcile.notify_one();
                }
                true
            }
            Err(error) => {
                if error.is_unauthorized() {
                    warn!("the Central API no longer knows this node, registering again");
                    self.node.registrar.register(stop).await;
                }
                false
            }
        }
    }

    async fn attempt(&self) -> Result<wire::HeartbeatAnswer, ApiError> {
        let identity = self.node.registrar.identity().await;
        let (content_type, body) = self.body(&identity);
        self.node.api.heartbeat(&identity, content_type, body).await
    }

    fn body(&self, identity: &Identity) -> (&'static str, Vec<u8>) {
        if self.node.faults.has(Fault::HeartbeatNotJson) {
            return ("text/plain", b"status=healthy".to_vec());
        }
        let body = wire::Heartbeat {
            node_id: self.configured_id.as_deref().unwrap_or(&identity.node_id),
            timestamp: Some(crate::clock::now())
                .filter(|_| !self.node.faults.has(Fault::HeartbeatNoTimestamp)),
            status: "healthy",
            uptime: self.started.elapsed().as_secs(),
            binary_checksum: self.checksum.get().map_or("", String::as_str),
        };
        let body = serde_json::to_vec(&body).expect("a heartbeat can always be serialized");
        ("application/json", body)
    }
}

fn spawn_checksum(checksum: &Checksum) {
    let checksum = Arc::clone(checksum);
    // Not awaited: heartbeats contain the checksum once it is known.
    drop(tokio::task::spawn_blocking(
        move || match checksum_of_this_binary() {
            Ok(hex) => drop(checksum.set(hex)),
            Err(error) => debug!(reason = chain(&error), "the running binary cannot be read"),
        },
    ));
}

/// The SHA-256 of the running binary, in hexadecimal.
fn checksum_of_this_binary() -> io::Result<String> {
    let mut file = File::open("/proc/self/exe")?;
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => context.update(&piece[..length]),
        }
    }
    Ok(hex::encode(context.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_64_hexadecimal_digits() {
        let checksum = checksum_of_this_binary().unwrap();
        assert_eq!(checksum.len(), 64);
        assert!(checksum.bytes().all(|digit| digit.is_ascii_hexdigit()));
    }
}
