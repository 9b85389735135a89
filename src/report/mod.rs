//! Sinks of events: what people and machines get to read of a run.
//!
//! Every report is a function of the recorded events alone. Nothing here touches a cluster, and a sink that fails
//! (disk full) returns an error that changes no verdict. Only `console` and `progress` write to a terminal.

mod at_end;
mod attribution;
pub mod console;
pub mod html;
pub mod junit;
mod lines;
mod marks;
mod paint;
pub mod progress;
pub mod summary;
pub mod surroundings;
mod text;
mod timings;
pub mod write;

pub use at_end::AtEnd;
pub use console::{Detail, live};
pub use surroundings::{ColorChoice, Surroundings};
pub(crate) use text::aligned;
pub use write::{Copies, WriteError, write_all};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod fuzz;
