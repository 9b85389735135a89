//! The kind provider: every cell in a real Kubernetes cluster of its own, whose nodes are Docker containers.
//!
//! kind's CLI makes a cluster; everything else goes through the engine's and the cluster's own interfaces. What need not wait for its phase
//! begins at once, and the phases wait for their part of it. The suite knows nothing of all this.

mod access;
mod claim;
mod cluster;
mod config;
mod create;
mod destroy;
mod diagnostics;
mod dns;
mod fingerprint;
mod keep;
mod load;
mod network;
mod node_image;
mod node_state;
mod nodes;
mod options;
mod pod_network;
mod preflight;
mod provider;
mod pulse;
mod reclaim;
mod reuse;
mod stale;
mod thaw;
mod tuning;
mod wipe;
mod work;

pub use options::KindOptions;
pub use provider::KindProvider;
pub use reclaim::KindReclaimer;
