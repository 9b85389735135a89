//! The provider `existing`: runs cells in an existing cluster that others may also use. Each cell gets its own
//! namespace, and cells run one at a time.
//!
//! This module never changes a kubeconfig. In the cluster, it changes only objects with our label. Before a cell
//! creates its namespace or a cluster-scoped object, it records the object and the connection to the cluster in the
//! ledger, so that the ledger is enough to delete the object.

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
