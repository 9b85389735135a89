//! Runs the plexd suite over a matrix of clusters.
//!
//! `matrix.toml → Matrix (validated) → plans (cells in order) → runner → events → sinks`: data flows in one direction,
//! and only cancellation flows back. `ARCHITECTURE.md` describes each top-level module and its restrictions.

pub mod cli;
pub mod cluster;
pub mod deadline;
pub mod error;
pub mod event;
pub mod excerpt;
pub mod machine;
pub mod manifest;
pub mod matrix;
pub mod record;
pub mod report;
pub mod runner;
pub mod secret;
pub mod suite;
