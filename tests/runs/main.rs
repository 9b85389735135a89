//! Whole runs of the real binary on the local provider: what it tells, what it returns, and what it leaves.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod again;
#[path = "../support/blame.rs"]
mod blame;
mod budget;
mod course;
mod faults;
mod full_disk;
mod interruption;
mod keep;
mod mixed;
#[path = "../support/overlap.rs"]
mod overlap;
#[path = "../support/record.rs"]
mod record;
mod recorded;
mod retries;
mod scale;
mod scripted;
#[path = "../support/mod.rs"]
mod support;
