//! The kind provider: each cell gets its own real Kubernetes cluster, whose nodes are Docker containers.
//!
//! kind's CLI creates a cluster; everything else uses the APIs of the engine and of the cluster. Work that doesn't have
//! to wait for its phase starts immediately, and each phase then waits for its part of that work. The suite doesn't
//! know about this.

mod access;
mod adopt;
mod claim;
mod cluster;
mod config;
mod create;
mod destroy;
mod diagnostics;
mod dns;
mod engine_health;
mod fingerprint;
mod keep;
mod limits;
mod load;
mod network;
mod node_image;
mod node_state;
mod nodes;
mod pod_network;
mod preflight;
mod prepared;
mod provider;
mod reclaim;
mod reuse;
mod stale;
mod stored_images;
mod thaw;
mod tuning;
mod wipe;
mod work;

pub use prepared::USED;
pub use provider::{KindOptions, KindProvider};
pub use reclaim::KindReclaimer;
