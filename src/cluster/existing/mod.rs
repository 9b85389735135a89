//! The provider `existing`: cells in a cluster that is there already and that others use too, a namespace each, one at a time.
//!
//! Never changes a kubeconfig, and nothing in the cluster that does not carry a label of ours. What a cell makes is in the ledger before it
//! is made, with the way to its cluster, so that it can be taken away without any memory of the run.

mod clear;
mod cluster;
mod connection;
mod definitions;
mod host;
mod lease;
mod leave;
mod marks;
mod provider;
mod reclaim;
mod survey;

pub use provider::{ExistingError, ExistingOptions, ExistingProvider};
pub use reclaim::ExistingReclaimer;
