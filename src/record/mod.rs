//! A run's record: its format on disk, the fold from events to [`RunModel`], and the verdict as a function of that
//! model.
//!
//! Live runs, `--resume`, `--rerun-failed`, `merge`, `report` and `replay` all use this one fold. Nothing here runs a
//! cell, prints, or formats a report.

mod file;
pub mod merge;
pub mod model;
mod run_verdict;
mod verdict;
pub mod xml_text;

use std::collections::HashSet;
use std::hash::Hash;
use std::io;

use crate::event::Record;
pub use file::{FILE_NAME, RecordError, RecordReader, RecordWriter, read};
pub use model::{ModelBuilder, RunModel};
pub use run_verdict::{class_of, verdict_of};
pub(crate) use verdict::{CellResult, of_attempt, reason_of_attempt};
pub use xml_text::XmlText;

/// Receives the events of a run as they happen.
pub trait Sink: Send {
    /// Receives the next event. An error doesn't change the verdict: the caller reports it and continues without this
    /// sink.
    fn on(&mut self, record: &Record) -> io::Result<()>;

    /// Receives the model of the finished run, after the last event. An error is handled in the same way as in
    /// [`Sink::on`].
    fn end(&mut self, _run: &RunModel) -> io::Result<()> {
        Ok(())
    }

    /// Receives an event of an earlier session of the same run, for context only.
    fn recall(&mut self, _record: &Record) {}

    /// The sink's name in error messages.
    fn name(&self) -> &'static str;
}

/// Each item once, in the order of first occurrence. Records are untrusted and may contain many items, so this takes
/// linear time.
pub(crate) fn unique<'t, T: ToOwned + Eq + Hash + ?Sized + 't>(
    items: impl Iterator<Item = &'t T>,
) -> Vec<T::Owned> {
    let mut seen = HashSet::new();
    let first = items.filter(|item| seen.insert(*item));
    first.map(T::to_owned).collect()
}
