//! `replay`: shows a run as it was, with lines on stderr and tables on stdout.

use std::io;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::error::CliError;
use super::exit::Exit;
use super::options::ReplayOptions;
use super::recorded::Recorded;
use super::run;
use crate::event::{Event, Record};
use crate::record::{ModelBuilder, Sink};
use crate::report::AtEnd;

pub(super) fn run(options: &ReplayOptions) -> Result<Exit, CliError> {
    let asked = &options.recorded;
    let recorded = Recorded::find(asked.run.as_deref(), &asked.location.out())?;
    let mut pace = Pace {
        speed: options.speed,
        before: None,
    };
    let mut screen = Screen {
        console: run::console(options.output.color, options.verbose),
        tables: run::tables(options.output.color, &recorded.folder),
        builder: ModelBuilder::default(),
        has_ended: true,
    };
    for record in recorded.events().map_err(CliError::Record)? {
        let record = record.map_err(CliError::Record)?;
        pace.wait_for(&record);
        if let Err(error) = screen.show(&record) {
            return unshown(error);
        }
    }
    match screen.end() {
        Ok(()) => Ok(Exit::Passed),
        Err(error) => unshown(error),
    }
}

fn unshown(error: io::Error) -> Result<Exit, CliError> {
    match error.kind() {
        // The reader closed the pipe early.
        io::ErrorKind::BrokenPipe => Ok(Exit::Passed),
        _ => Err(CliError::Write {
            what: "the replay",
            source: error,
        }),
    }
}

/// The sinks that the run had.
struct Screen {
    console: Box<dyn Sink>,
    tables: AtEnd,
    builder: ModelBuilder,
    has_ended: bool,
}

impl Screen {
    fn show(&mut self, record: &Record) -> io::Result<()> {
        let is_end = matches!(record.event, Event::RunFinished { .. });
        // Notices after the end are about the reports.
        let is_after_end = self.has_ended && matches!(record.event, Event::Notice { .. });
        self.has_ended = is_end || is_after_end;
        self.console.on(record)?;
        self.builder.apply(record);
        if is_end {
            self.tables.end(&self.builder.clone().finish())?;
        }
        Ok(())
    }

    /// A run that was killed showed no tables. Here, they show its progress.
    fn end(mut self) -> io::Result<()> {
        if self.has_ended {
            return Ok(());
        }
        drop(self.console);
        self.tables.end(&self.builder.finish())
    }
}

/// The delays between events.
struct Pace {
    speed: Option<f64>,
    before: Option<Timestamp>,
}

impl Pace {
    fn wait_for(&mut self, record: &Record) {
        let before = self.before.replace(record.at);
        // The time between two sessions is skipped.
        let is_watched = !matches!(record.event, Event::RunResumed { .. });
        if let (Some(speed), Some(before), true) = (self.speed, before, is_watched)
            && let Ok(passed) = Duration::try_from(record.at.duration_since(before))
        {
            thread::sleep(passed.div_f64(speed));
        }
    }
}
