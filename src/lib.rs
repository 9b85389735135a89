//! Runs the plexd suite over a matrix of clusters.

pub mod cluster;
pub mod deadline;
pub mod event;
pub mod machine;
pub mod manifest;
pub mod matrix;
pub mod report;
pub mod secret;
pub mod suite;
