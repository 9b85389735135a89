//! Sinks that write at the end of the run: the report files and the closing tables.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{Copies, WriteError, summary, write_all};
use crate::event::Record;
use crate::record::{RunModel, Sink};

type Work = Box<dyn FnMut(&RunModel) -> io::Result<()> + Send>;

/// Waits for the end of the run, and then passes the run's model to a function.
pub struct AtEnd {
    name: &'static str,
    work: Work,
}

impl AtEnd {
    /// Writes the report files to `folder`, and copies of them as requested.
    pub fn files(folder: PathBuf, copies: Copies) -> Self {
        let work = move |run: &RunModel| combined(&write_all(&folder, &copies, run));
        Self::new("the reports", Box::new(work))
    }

    /// Writes the summary tables and the folder of the other reports to `out`. `width` is the number of columns if
    /// `out` is a terminal.
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

/// Combines all errors into one. If all of them have the same kind, the result has this kind too. A full disk is
/// therefore reported only once, however many files it affects.
fn combined(failures: &[WriteError]) -> io::Result<()> {
    let mut kinds = failures.iter().map(|failure| failure.source.kind());
    let Some(first) = kinds.next() else {
        return Ok(());
    };
    let different = kinds.find(|kind| *kind != first);
    let kind = different.map_or(first, |_| io::ErrorKind::Other);
    let messages = failures.iter();
    let messages = messages.map(|failure| format!("{failure}: {}", failure.source));
    let messages: Vec<String> = messages.collect();
    Err(io::Error::new(kind, messages.join("; ")))
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
