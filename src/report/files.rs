//! The sink that keeps a run's records, and writes every report from them when the run has ended.

use std::io;
use std::path::PathBuf;

use super::{Copies, Sink, write_all};
use crate::event::{Event, Record};

/// Writes the report files of a run into its folder, on every way out that has a last event.
pub struct ReportFiles {
    folder: PathBuf,
    copies: Copies,
    records: Vec<Record>,
}

impl ReportFiles {
    /// A sink for the run whose folder is `folder`.
    pub fn new(folder: PathBuf, copies: Copies) -> Self {
        Self {
            folder,
            copies,
            records: Vec::new(),
        }
    }

    fn write(&self) -> io::Result<()> {
        let failures = write_all(&self.folder, &self.copies, &self.records);
        let told: Vec<String> = failures
            .iter()
            .map(|failure| format!("{failure}: {}", failure.source))
            .collect();
        if told.is_empty() {
            Ok(())
        } else {
            Err(io::Error::other(told.join("; ")))
        }
    }
}

impl Sink for ReportFiles {
    fn on(&mut self, record: &Record) -> io::Result<()> {
        self.records.push(record.clone());
        match record.event {
            Event::RunFinished { .. } => self.write(),
            Event::RunStarted { .. }
            | Event::Notice { .. }
            | Event::CellStarted { .. }
            | Event::CellFacts { .. }
            | Event::PhaseStarted { .. }
            | Event::PhaseProgress { .. }
            | Event::PhaseFinished { .. }
            | Event::Diagnostics { .. }
            | Event::Counters { .. }
            | Event::Timings { .. }
            | Event::CellFinished { .. }
            | Event::Interrupted { .. }
            | Event::RunFailed { .. } => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        "the reports"
    }
}
