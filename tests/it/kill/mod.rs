//! Interrupted and killed runs: whatever the signal and the phase, a run leaves nothing behind, or only what one `gc`
//! deletes.

mod gc;
pub(crate) mod left;
mod local;
mod phases;
pub(crate) mod running;
mod signals;
mod stopped;
