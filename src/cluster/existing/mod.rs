//! The provider `existing`: runs cells in an existing cluster that others may use, too. Each cell gets its own
//! namespace, and cells run one at a time.
//!
//! This room never changes a kubeconfig, and in the cluster it changes only objects with our label. Before a cell
//! creates anything, it is recorded in the ledger with the connection to the cluster, so that the ledger is enough to
//! delete it.

mod clear;
mod cluster;
mod connection;
mod definitions;
mod host;
mod labels;
mod lease;
mod provider;
mod reclaim;
mod survey;

pub use provider::{ExistingOptions, ExistingProvider};
pub use reclaim::ExistingReclaimer;
