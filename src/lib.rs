//! Runs the plexd suite over a matrix of clusters.

pub mod event;
pub mod manifest;
pub mod matrix;
pub mod secret;
