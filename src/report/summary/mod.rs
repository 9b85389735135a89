//! The summary of a run: as text for a terminal, and as Markdown for a pull request or a job's page.
//!
//! Both contain the same: cells × phases, counters, durations, failures and totals.

pub(super) mod counters;
mod markdown;
mod terminal;
pub(super) mod times;

pub use markdown::markdown;
pub use terminal::terminal;
