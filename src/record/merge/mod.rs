//! Makes one record of the records of several runs: shards of a selection, tests of one run of a test runner, a run and its rerun.
//!
//! The same parts give the same record, in whatever order they are named. Knows nothing of verdicts: the last event is the caller's.

mod facts;
mod files;
mod join;
mod part;
mod plan;

pub use files::copy_cells;
pub use join::Joined;
pub use part::Part;
pub use plan::{MergeError, Plan};

#[cfg(test)]
mod tests;
