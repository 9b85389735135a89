//! Runs that are killed: whatever comes, in whatever phase, nothing is left of them, at the latest after one `gc`.

mod gc;
pub(crate) mod left;
mod local;
mod phases;
pub(crate) mod running;
mod signals;
mod stopped;
