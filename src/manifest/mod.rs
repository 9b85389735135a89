//! From manifests to the objects of one cell: read, merged, patched, cross-checked and put in order.
//!
//! Pure: no IO and no clock. The same texts and inputs give the same objects in the same order, always. What a run
//! changes is set on the parsed documents; a field that nothing here knows goes through as it came.

mod address;
mod check;
mod config;
mod document;
mod locate;
mod mask;
mod object;
mod patch;
mod problem;
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

pub use address::ServiceAddress;
pub use object::{Object, Source};
pub use problem::{Document, ManifestProblem, ManifestProblems, Place};
pub use rank::Rank;
pub use render::{Inputs, PullPolicy, render};
pub use rendered::{Agent, Mock, Rendered, Step};
pub use selector::selects;
pub use shared::Shared;
pub use sources::{Folder, Sources, is_manifest_name};

/// The names that agent, mock and runner agree on.
pub mod names {
    /// The Secret that holds the bootstrap token.
    pub const BOOTSTRAP_SECRET: &str = "plexd-bootstrap";
    /// The token's key in it.
    pub const BOOTSTRAP_KEY: &str = "token";
    /// The ConfigMap that holds the agent's configuration.
    pub const CONFIG_MAP: &str = "plexd-config";
    /// The configuration's key in it.
    pub const CONFIG_KEY: &str = "config.yaml";
    /// The agent's DaemonSet and its container.
    pub const AGENT: &str = "plexd";
    /// The mock's Deployment, its Service and its container.
    pub const MOCK: &str = "mock-api";
}
