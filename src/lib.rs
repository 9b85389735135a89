//! Runs the plexd suite over a matrix of clusters.

pub mod event;
pub mod matrix;
pub mod report;
