//! A cell's part of a Kubernetes cluster, independent of who created the cluster: applying, watching, waiting,
//! restarting, forwarding, diagnosing.
//!
//! This room knows a client, a namespace and the rendered objects. It doesn't know kind or Docker, or how clusters are
//! created and deleted.

mod access;
mod apply;
pub(crate) mod diagnostics;
mod forward;
pub(crate) mod health;
mod lives;
mod logs;
mod placement;
pub(crate) mod pods;
mod probes;
pub(crate) mod ready;
mod refusal;
pub(crate) mod remove;
mod restart;
mod tenant;
pub(crate) mod wait;
pub(crate) mod watch;

pub(crate) use access::{Access, Kube, client, no_way, unusable};
pub(crate) use tenant::Tenant;
