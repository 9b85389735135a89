//! `report`: creates all reports of a run from its record, even if the run was killed.

use super::error::CliError;
use super::exit::Exit;
use super::options::{CopyOptions, ReportOptions};
use super::recorded::Recorded;
use super::stdout;
use crate::report::{Copies, write_all};
use crate::{record, runner};

pub(super) fn run(options: &ReportOptions) -> Result<Exit, CliError> {
    let asked = &options.recorded;
    let recorded = Recorded::find(asked.run.as_deref(), &asked.location.out())?;
    let run = recorded.model().map_err(CliError::Record)?;
    let copies = Copies::from(&options.copies);
    runner::prepare(&copies.paths()).map_err(CliError::Session)?;
    if let Some(failure) = write_all(&recorded.folder, &copies, &run)
        .into_iter()
        .next()
    {
        return Err(CliError::Reports(failure));
    }
    say_where(&recorded)?;
    Ok(if options.exit_code {
        let recorded = run.verdict;
        recorded
            .unwrap_or_else(|| record::verdict_of(&run, false))
            .into()
    } else {
        Exit::Passed
    })
}

fn say_where(recorded: &Recorded) -> Result<(), CliError> {
    let folder = recorded.folder.display();
    stdout::print("to stdout", Ok(format!("reports: {folder}\n")))
}

impl From<&CopyOptions> for Copies {
    fn from(options: &CopyOptions) -> Self {
        Self {
            junit: options.junit.clone(),
            summary: options.summary.clone(),
        }
    }
}
