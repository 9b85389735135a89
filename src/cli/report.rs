//! `report`: creates all reports of a run from its record, even if the run was killed.

use std::path::Path;

use super::error::CliError;
use super::exit::Exit;
use super::options::{CopyOptions, ReportOptions};
use super::recorded::Recorded;
use super::streams;
use crate::record::RunModel;
use crate::report::{Copies, write_all};
use crate::{record, runner};

pub(super) fn run(options: &ReportOptions) -> Result<Exit, CliError> {
    let asked = &options.recorded;
    let recorded = Recorded::find(asked.run.as_deref(), &asked.location.out())?;
    let run = recorded.model()?;
    let copies = Copies::from(&options.copies);
    runner::prepare(&copies.paths())?;
    write(&recorded.folder, &copies, &run)?;
    let folder = recorded.folder.display();
    streams::print("to stdout", &format!("reports: {folder}\n"))?;
    Ok(if options.exit_code {
        let killed = || record::verdict_of(&run, false);
        run.verdict.unwrap_or_else(killed).into()
    } else {
        Exit::Passed
    })
}

/// Writes all reports of `run` to `folder` and `copies`. Returns the first error.
pub(super) fn write(folder: &Path, copies: &Copies, run: &RunModel) -> Result<(), CliError> {
    match write_all(folder, copies, run).into_iter().next() {
        Some(first) => Err(first.into()),
        None => Ok(()),
    }
}

impl From<&CopyOptions> for Copies {
    fn from(options: &CopyOptions) -> Self {
        Self {
            junit: options.junit.clone(),
            summary: options.summary.clone(),
        }
    }
}
