//! Tests on real clusters. Each test that creates clusters is ignored unless it is asked for, and says how many it creates.

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
mod provider;
mod reuse;
mod secrets;
mod snapshot;
mod together;
pub(crate) mod why;
