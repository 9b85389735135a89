//! A cell's part of a Kubernetes cluster, regardless of how the cluster was created: applies, watches and deletes
//! objects, waits for conditions, restarts agents, forwards the mock's port, and collects logs and diagnostics.
//!
//! This module knows a client, a namespace and the rendered objects. It doesn't know kind, Docker, or how clusters are
//! created and deleted.

mod access;
mod apply;
pub(crate) mod delete;
pub(crate) mod diagnostics;
#[cfg(test)]
mod fixture;
mod forward;
pub(crate) mod health;
mod liveness;
mod logs;
pub(crate) mod placement;
pub(crate) mod pods;
mod probes;
pub(crate) mod ready;
mod rejection;
mod restart;
mod tenant;
mod terminations;
mod transient;
pub(crate) mod wait;
pub(crate) mod watch;

pub(crate) use access::{Access, Kube, api_unreachable, client};
pub(crate) use tenant::Tenant;
