//! Killed runs: whatever the signal and the phase, nothing is left behind, at the latest after one `gc`.

mod gc;
pub(crate) mod left;
mod local;
mod phases;
pub(crate) mod running;
mod signals;
mod stopped;
