//! Runs that are killed: whatever comes, in whatever phase, nothing is left of them, at the latest after one `gc`.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod gc;
mod left;
mod local;
mod phases;
mod running;
mod signals;
mod stopped;
#[path = "../support/mod.rs"]
mod support;
