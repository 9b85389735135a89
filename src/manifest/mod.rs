//! Turns manifests into the objects of one cell: reads, merges, patches, checks and orders them.
//!
//! This module is pure: no I/O and no clock. The same sources and inputs always give the same objects in the same
//! order. Changes are applied to the parsed documents, so that unknown fields are preserved.

use serde_json::Value;

mod agent_pod;
mod check;
mod config;
mod config_map;
mod document;
mod locate;
mod mask;
mod object;
mod patch;
mod problem;
pub mod quantity;
mod rank;
mod render;
mod rendered;
mod selector;
mod shared;
mod sources;
mod strict;
mod supply;
#[cfg(test)]
mod tests;

pub use object::Object;
pub use problem::{ManifestProblem, ManifestProblems, Place};
pub use rank::Rank;
pub use render::{Inputs, PullPolicy, render};
pub use rendered::{Agent, Mock, Rendered};
pub use selector::selects;
pub use shared::Tenancy;
pub use sources::{Folder, Sources, is_manifest_name};

/// The items of a list; none if `value` isn't a list.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The only one of `items`, if there is exactly one.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

/// The names that the agent, the mock and the runner share.
pub mod names {
    /// The namespace of a cell, unless cells share a cluster.
    pub const NAMESPACE: &str = "plexd-e2e";
    /// The Secret with the bootstrap token.
    pub const BOOTSTRAP_SECRET: &str = "plexd-bootstrap";
    /// The key of the token in the Secret.
    pub const BOOTSTRAP_KEY: &str = "token";
    /// The ConfigMap with the agent's configuration.
    pub const CONFIG_MAP: &str = "plexd-config";
    /// The key of the configuration in the ConfigMap.
    pub const CONFIG_KEY: &str = "config.yaml";
    /// The agent's DaemonSet and its container.
    pub const AGENT: &str = "plexd";
    /// The mock's Deployment, its Service and its container.
    pub const MOCK: &str = "mock-api";
}
