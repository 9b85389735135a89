//! `merge`: combines several runs into one, with one record, all reports, and the exit code of a single run with all
//! cells.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::exit::Exit;
use super::options::MergeOptions;
use super::recorded::{self, Recorded};
use super::run;
use crate::event::Event;
use crate::record::RecordWriter;
use crate::record::merge::{Joined, MergeError, Part, Plan, copy_cells};
use crate::record::model::Folding;
use crate::record::{RunModel, Sink, verdict_of};
use crate::report::{Copies, write_all};
use crate::runner::{self, RunFolder};

pub(super) fn run(options: &MergeOptions) -> Result<Exit, CliError> {
    let out = options.place.out();
    let mut parts = Vec::new();
    for name in &options.runs {
        for folder in folders(name, &out)? {
            parts.push(Part::read(&folder)?);
        }
    }
    let plan = Plan::new(&mut parts)?;
    let copies = Copies::from(&options.copies);
    runner::prepare(&copies.paths()).map_err(CliError::Session)?;
    let folder = out.join(&plan.facts.run);
    let merged = write(&parts, &plan, &folder, &copies)?;
    run::tables(options.look.color, &folder)
        .end(&merged)
        .map_err(|source| CliError::Write {
            what: "the summary",
            source,
        })?;
    // The record was just written, so it has a verdict.
    let verdict = merged.verdict;
    Ok(verdict.map_or(Exit::RunnerBug, Exit::from))
}

/// The run `name`, or the runs in the folder `name`, sorted.
fn folders(name: &str, out: &Path) -> Result<Vec<PathBuf>, CliError> {
    let folder = match Recorded::find(Some(name), out) {
        Ok(recorded) => return Ok(vec![recorded.folder]),
        Err(CliError::NoRecord { folder }) => folder,
        Err(error) => return Err(error),
    };
    let unreadable = |source| CliError::RunsUnreadable {
        folder: folder.clone(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // `latest` is a link to a folder that is listed by its own name.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && recorded::is_run(&entry.path()) {
            found.push(entry.path());
        }
    }
    if found.is_empty() {
        return Err(MergeError::Nothing { folder }.into());
    }
    found.sort();
    Ok(found)
}

/// Writes the merged run under a temporary name, then replaces an existing merge of the same parts.
fn write(
    parts: &[Part],
    plan: &Plan,
    folder: &Path,
    copies: &Copies,
) -> Result<RunModel, CliError> {
    let unwritten = |source| CliError::Unwritten {
        folder: folder.to_owned(),
        source,
    };
    let out = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(out).map_err(unwritten)?;
    let temporary = tempfile::Builder::new()
        .prefix(".merge-")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(out)
        .map_err(unwritten)?;
    copy_cells(parts, plan, temporary.path()).map_err(unwritten)?;
    let merged = record(parts, plan, temporary.path()).map_err(|error| match error {
        Unrecorded::Read(error) => CliError::Record(error),
        Unrecorded::Write(source) => unwritten(source),
    })?;
    if let Some(failure) = write_all(temporary.path(), copies, &merged)
        .into_iter()
        .next()
    {
        return Err(CliError::Reports(failure));
    }
    put(temporary.path(), folder).map_err(unwritten)?;
    let merged_folder =
        RunFolder::reopen(out, &plan.facts.run).map_err(|error| unwritten(error.source))?;
    merged_folder.point_latest();
    Ok(merged)
}

fn put(temporary: &Path, folder: &Path) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(temporary, folder)
}

/// The merged record can't be written.
enum Unrecorded {
    Read(crate::record::RecordError),
    Write(io::Error),
}

/// Writes the merged record to `folder`, including its last event. Returns the model.
fn record(parts: &[Part], plan: &Plan, folder: &Path) -> Result<RunModel, Unrecorded> {
    let mut writer = RecordWriter::create(folder).map_err(Unrecorded::Write)?;
    let mut folding = Folding::default();
    let mut joined = Joined::open(parts, plan).map_err(Unrecorded::Read)?;
    for record in &mut joined {
        let record = record.map_err(Unrecorded::Read)?;
        folding.take(&record);
        writer.on(&record).map_err(Unrecorded::Write)?;
    }
    let verdict = verdict_of(&folding.clone().finish(), plan.is_whole);
    let last = joined.closing(Event::RunFinished {
        verdict,
        duration_ms: plan.duration_ms,
    });
    folding.take(&last);
    writer.on(&last).map_err(Unrecorded::Write)?;
    Ok(folding.finish())
}
