//! The provider `existing`: runs cells in an existing cluster that others use, too. Each cell gets a namespace, and one cell runs at
//! a time.
//!
//! Never changes a kubeconfig, and in the cluster only objects with our label. Everything that a cell creates is recorded in the
//! ledger before, together with the connection to the cluster, so that it can be deleted without any other knowledge of the run.

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
