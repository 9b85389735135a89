//! The integration tests, in one binary: each further binary would have to link the whole crate again.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod architecture;
mod ci;
mod cli;
mod docs;
mod docs_matrix;
mod engine_errors;
mod explain;
mod filter_problems;
mod filter_selection;
mod hostile_files;
mod kill;
mod kind;
mod local;
mod matrix_file;
mod matrix_problems;
mod matrix_properties;
mod nextest;
mod open_files;
mod runs;
mod support;
