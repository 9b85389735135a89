//! The summary of a run: as text for a terminal, and as Markdown for a pull request or a job's page.
//!
//! Both have the same content: cells × phases, counters, durations, failures and totals.

pub(super) mod counters;
mod markdown;
mod terminal;
pub(super) mod times;

use crate::record::model::{CellModel, RunModel};
pub use markdown::markdown;
pub use terminal::terminal;

/// The cells in the list of failures: first those that failed, then those that are flaky.
fn cells_with_failures(run: &RunModel) -> Vec<&CellModel> {
    let failed = run.cells.iter().filter(|cell| cell.is_failure());
    let flaky = run.cells.iter().filter(|cell| cell.is_flaky());
    failed.chain(flaky).collect()
}
