//! Merges the records of several runs into one: the shards of a selection, the tests of one run of a test runner, or a
//! run and its rerun.
//!
//! The same parts give the same record in any order. This module doesn't determine the run's verdict: its caller
//! supplies the last event.

mod earlier;
mod events;
mod facts;
mod files;
mod part;
mod plan;

pub use earlier::without_earlier_merges;
pub use events::MergedEvents;
pub(crate) use files::CELLS;
pub use files::copy_cells;
pub use part::Part;
pub use plan::{MergeError, Plan};

#[cfg(test)]
mod tests;
