//! A run's record: its format on disk, the fold from events to [`RunModel`], and the verdict as a function of that model.
//!
//! Live runs, `--resume`, `--rerun-failed`, `merge`, `report` and `replay` all use this one fold. Nothing here runs a
//! cell, prints, or formats a report.

mod file;
pub mod merge;
pub mod model;
mod reckoning;
mod verdict;
pub mod xml_text;

use std::io;

use crate::event::Record;
pub use file::{FILE_NAME, RecordError, RecordReader, RecordWriter, read};
pub use model::{Folding, RunModel};
pub use reckoning::{class_of, verdict_of};
pub(crate) use verdict::{Counted, of_attempt, reason_of_attempt};
pub use xml_text::XmlText;

/// Takes a run's records as they happen.
pub trait Sink: Send {
    /// Takes the next record. An error changes no verdict: the caller reports it and goes on without this sink.
    fn on(&mut self, record: &Record) -> io::Result<()>;

    /// Takes what the run came to, after its last event. An error counts as one of [`Sink::on`].
    fn end(&mut self, _run: &RunModel) -> io::Result<()> {
        Ok(())
    }

    /// Takes a record of an earlier session of the same run: something to know, and nothing to show.
    fn recall(&mut self, _record: &Record) {}

    /// What it is, for a sentence about its failure.
    fn name(&self) -> &'static str;
}
