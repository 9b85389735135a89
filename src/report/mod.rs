//! Sinks of events: everything that people and machines read about a run.
//!
//! Every report is a function of the recorded events; only JUnit also contains the path of the run's folder. Nothing in
//! this module touches a cluster, and a sink that fails, for example because the disk is full, returns an error that
//! doesn't change the verdict. Only `console` and `progress` write to a terminal.

mod at_end;
mod attribution;
pub mod console;
mod html;
mod junit;
mod lines;
mod marks;
mod paint;
pub mod progress;
mod stages;
pub mod summary;
pub mod terminal_info;
mod text;
mod timings;
pub mod write;

pub use at_end::AtEnd;
pub use console::{Detail, live};
pub use terminal_info::TerminalInfo;
pub(crate) use text::{aligned, counted};
pub use write::{Copies, WriteError, write_all};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod fuzz;
