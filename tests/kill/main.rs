//! Runs that are killed: whatever comes, in whatever phase, nothing is left of them, at the latest after one `gc`.

mod gc;
mod left;
mod local;
mod phases;
mod running;
mod signals;
mod stopped;
#[path = "../support/mod.rs"]
mod support;
