//! Sinks of events: what people and machines get to read of a run.
//!
//! Every report is a function of the recorded events alone. Nothing here touches a cluster, and a sink that fails
//! (disk full) returns an error that changes no verdict. Only `console` and `progress` write to a terminal.

mod at_end;
pub mod console;
pub mod html;
pub mod junit;
mod lines;
mod marks;
pub mod merge;
pub mod model;
mod paint;
pub mod progress;
pub mod record;
pub mod summary;
pub mod surroundings;
mod text;
mod timings;
pub mod write;
pub mod xml_text;

use std::io;

use crate::event::Record;
pub use at_end::AtEnd;
pub use console::{Detail, live};
pub use model::RunModel;
pub use record::{RecordError, RecordWriter};
pub use surroundings::{ColorChoice, Surroundings};
pub(crate) use text::aligned;
pub use write::{Copies, WriteError, write_all};
pub use xml_text::XmlText;

/// Takes a run's records as they happen.
pub trait Sink: Send {
    /// Takes the next record. An error changes no verdict: the caller tells it and goes on.
    fn on(&mut self, record: &Record) -> io::Result<()>;

    /// Takes a record of an earlier session of the same run: something to know, and nothing to show.
    fn recall(&mut self, _record: &Record) {}

    /// What it is, for a sentence about its failure.
    fn name(&self) -> &'static str;
}

#[cfg(test)]
mod fixture;
