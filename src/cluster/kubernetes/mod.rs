//! A cell's part of a Kubernetes cluster, whoever made the cluster: objects applied, watched, waited for, restarted, reached, looked into.
//!
//! Knows a client, a namespace and the rendered objects. Knows nothing of kind, of Docker and of how a cluster comes and goes.

mod access;
mod apply;
pub(crate) mod diagnostics;
mod forward;
pub(crate) mod health;
mod lives;
mod logs;
mod placement;
mod pods;
pub(crate) mod ready;
mod refusal;
pub(crate) mod remove;
mod restart;
mod tenant;
pub(crate) mod wait;
pub(crate) mod watch;

pub(crate) use access::{Access, Kube, client, no_way, unusable};
pub(crate) use tenant::Tenant;
