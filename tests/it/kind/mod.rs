//! Tests on real clusters. They are ignored by default, and each says how many clusters it creates.

mod commands;
mod engine;
mod existing;
mod faults;
mod infrastructure;
mod kill;
mod labels;
mod manifests;
mod missing_images;
mod ownership;
mod prepared;
mod provider;
mod reuse;
mod secrets;
mod snapshot;
mod together;
pub(crate) mod why;
