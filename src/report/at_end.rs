//! Sinks that write at the end of the run: the report files and the closing tables.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{Copies, WriteError, summary, write_all};
use crate::event::Record;
use crate::record::{RunModel, Sink};

type Work = Box<dyn FnMut(&RunModel) -> io::Result<()> + Send>;

/// Waits for the end of the run, and then handles its model.
pub struct AtEnd {
    name: &'static str,
    work: Work,
}

impl AtEnd {
    /// Writes the report files to `folder`, and their copies.
    pub fn files(folder: PathBuf, copies: Copies) -> Self {
        let work =
            move |run: &RunModel| combined(&write_all(&folder, &copies, run)).map_or(Ok(()), Err);
        Self::new("the reports", Box::new(work))
    }

    /// Writes the summary tables to `out`, which is `width` columns wide if it is a terminal, and the locations of the
    /// other reports.
    pub fn tables(
        mut out: impl Write + Send + 'static,
        width: Option<usize>,
        color: bool,
        folder: PathBuf,
    ) -> Self {
        let work = move |run: &RunModel| {
            let tables = summary::terminal(run, width, color);
            write!(out, "\n{tables}\nreports: {}\n", folder.display())?;
            out.flush()
        };
        Self::new("the summary", Box::new(work))
    }

    fn new(name: &'static str, work: Work) -> Self {
        Self { name, work }
    }
}

/// All errors as one. A full disk keeps its error kind, so that it is reported once, however many files it affects.
fn combined(failures: &[WriteError]) -> Option<io::Error> {
    let kind = failures.iter().map(|failure| failure.source.kind());
    let kind = kind.reduce(|one, other| {
        if one == other {
            one
        } else {
            io::ErrorKind::Other
        }
    })?;
    let messages: Vec<String> = failures
        .iter()
        .map(|failure| format!("{failure}: {}", failure.source))
        .collect();
    Some(io::Error::new(kind, messages.join("; ")))
}

impl Sink for AtEnd {
    fn on(&mut self, _: &Record) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, run: &RunModel) -> io::Result<()> {
        (self.work)(run)
    }

    fn name(&self) -> &'static str {
        self.name
    }
}
