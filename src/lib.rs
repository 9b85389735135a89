//! Runs the plexd suite over a matrix of clusters.

pub mod matrix;
