//! The phases of one cell, in order, on any cluster.
//!
//! This module knows the [`Cluster`](crate::cluster::Cluster) trait and the mock's HTTP interface, but not kind, Docker
//! or processes. A phase that a provider can't run is skipped with a reason or marked as simulated, and never reported
//! as passed.

mod bodies;
pub mod causes;
mod cell;
mod context;
mod disposal;
mod evidence;
mod expectations;
mod interruption;
mod mock;
mod phases;
mod wait;

pub use cell::run_cell;
pub use context::Preflight;
pub use interruption::Interruption;
