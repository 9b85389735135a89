//! `replay`: shows a recorded run again, with lines on stderr and tables on stdout.

use std::io;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::error::CliError;
use super::exit::Exit;
use super::options::ReplayOptions;
use super::recorded::Recorded;
use super::{run, streams};
use crate::event::{Event, Record};
use crate::record::{ModelBuilder, Sink};
use crate::report::AtEnd;

pub(super) fn run(options: &ReplayOptions) -> Result<Exit, CliError> {
    let asked = &options.recorded;
    let recorded = Recorded::find(asked.run.as_deref(), &asked.location.out())?;
    let mut before = None;
    let mut screen = Screen {
        console: run::console(options.output.color, options.verbose),
        tables: run::tables(options.output.color, &recorded.folder),
        builder: ModelBuilder::default(),
        has_ended: true,
    };
    for record in recorded.events()? {
        let record = record?;
        if let (Some(before), Some(speed)) = (before.replace(record.at), options.speed) {
            wait(before, &record, speed);
        }
        if let Err(error) = screen.show(&record) {
            return ended(Err(error));
        }
    }
    ended(screen.end())
}

fn ended(shown: io::Result<()>) -> Result<Exit, CliError> {
    streams::unless_closed("the replay", shown)?;
    Ok(Exit::Passed)
}

/// The same displays as during the run: console and tables.
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

    /// If the record has no end, shows the tables now, because the killed run never showed them.
    fn end(mut self) -> io::Result<()> {
        if self.has_ended {
            return Ok(());
        }
        drop(self.console);
        self.tables.end(&self.builder.finish())
    }
}

/// Before `record` is shown, waits for the time that passed since the previous event at `before`, divided by `speed`.
/// The time between two sessions is skipped.
fn wait(before: Timestamp, record: &Record, speed: f64) {
    if !matches!(record.event, Event::RunResumed { .. })
        && let Ok(passed) = Duration::try_from(record.at.duration_since(before))
    {
        thread::sleep(passed.div_f64(speed));
    }
}
