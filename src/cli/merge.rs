//! `merge`: combines several runs into one, with one record, all reports, and the exit code of a single run with all
//! cells.

use std::fs::{self, DirEntry, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::exit::Exit;
use super::options::MergeOptions;
use super::recorded::{self, Recorded};
use super::{report, run, streams};
use crate::error::chain;
use crate::event::Event;
use crate::machine::open_files;
use crate::record::merge::{
    MergeError, MergedEvents, Part, Plan, copy_cells, without_earlier_merges,
};
use crate::record::model::ModelBuilder;
use crate::record::{self, RecordWriter, RunModel, Sink, verdict_of};
use crate::report::Copies;
use crate::runner::{self, PARTS, RunFolder};

/// The start of the name of the temporary folder for a merged run. If a merge is killed, the folder stays until the next
/// merge.
const UNFINISHED: &str = ".e2e-matrix-merge-";

pub(super) fn run(options: &MergeOptions) -> Result<Exit, CliError> {
    let out = options.location.out();
    let mut parts = Vec::new();
    for name in &options.runs {
        for folder in folders(name, &out)? {
            parts.push(Part::read(&folder)?);
        }
    }
    let mut parts = without_earlier_merges(parts);
    let plan = Plan::new(&mut parts)?;
    // The records of all parts are open at the same time.
    open_files::raise();
    let copies = Copies::from(&options.copies);
    runner::prepare(&copies.paths())?;
    let folder = out.join(&plan.facts.run);
    let merged = write(&parts, &plan, &folder, &copies)?;
    let written = run::tables(options.output.color, &folder).end(&merged);
    if let Err(error) = streams::unless_closed("the summary", written) {
        // The reports are complete, so neither this nor a closed stderr changes the verdict.
        drop(streams::notice(&format!("warning: {}", chain(&error))));
    }
    // The record was just written, so it has a verdict.
    Ok(merged.verdict.map_or(Exit::RunnerBug, Exit::from))
}

/// Combines the parts of the run `run` that exist so far, and writes the record to the run's folder in `out`. Also
/// writes the reports, unless parts are still running. In a test binary, this runs after each cell, so the last cell
/// leaves a complete run. In the record, a part that is still running counts as killed.
pub(super) fn combine(out: &Path, run: &str, copies: &Copies) -> Result<(), CliError> {
    let folder = out.join(run);
    let unwritten = CliError::unwritten(&folder);
    let lock = File::create(folder.join(".merge.lock")).map_err(&unwritten)?;
    lock.lock().map_err(&unwritten)?;
    let mut parts = Vec::new();
    for part in runs_in(&folder.join(PARTS))? {
        match Part::read(&part) {
            Ok(part) => parts.push(part),
            // The part's process has only just started.
            Err(MergeError::NotStarted { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut plan = Plan::of_processes(&mut parts)?;
    run.clone_into(&mut plan.facts.run);
    let temporary = tempfile::tempdir_in(&folder).map_err(&unwritten)?;
    let merged = record(&parts, &plan, temporary.path(), &folder)?;
    let record = temporary.path().join(record::FILE_NAME);
    fs::rename(record, folder.join(record::FILE_NAME)).map_err(&unwritten)?;
    if parts.iter().any(Part::is_running) {
        // The part that ends last writes the reports.
        return Ok(());
    }
    report::write(&folder, copies, &merged)
}

/// The run `name`, or the runs in the folder `name`, sorted.
fn folders(name: &str, out: &Path) -> Result<Vec<PathBuf>, CliError> {
    let folder = match Recorded::find(Some(name), out) {
        Ok(Recorded { folder, record }) if record == folder.join(record::FILE_NAME) => {
            return Ok(vec![folder]);
        }
        Ok(Recorded { record, .. }) => {
            return Err(CliError::rejected(
                format!(
                    "{} can't be merged: the record of a run has to be named `{}`",
                    record.display(),
                    record::FILE_NAME
                ),
                "give the run's id or its folder",
            ));
        }
        Err(CliError::NoRecord { folder }) => folder,
        Err(error) => return Err(error),
    };
    let parts = folder.join(PARTS);
    let found = runs_in(if parts.is_dir() { &parts } else { &folder })?;
    if found.is_empty() {
        return Err(MergeError::NoRuns { folder }.into());
    }
    Ok(found)
}

/// The runs in `folder`, sorted.
fn runs_in(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = CliError::unreadable(format!("look for runs in {}", folder.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(&unreadable)? {
        let entry = entry.map_err(&unreadable)?;
        // The link `latest` is skipped, because the folder that it points to is found under its own name.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && !is_unfinished(&entry) && recorded::is_run(&entry.path()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether `entry` is the temporary folder of a merge.
fn is_unfinished(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
}

/// Deletes the temporary folders of merges that were killed. No other merge may be writing to `out`.
fn delete_unfinished(out: &Path) -> io::Result<()> {
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        if is_unfinished(&entry) {
            // A folder of another user stays, and isn't in the way.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
    Ok(())
}

/// Writes the merged run to a temporary folder, renames that folder to `folder`, and writes the reports, which contain
/// the folder's path. An existing merge of the same parts is replaced.
fn write(
    parts: &[Part],
    plan: &Plan,
    folder: &Path,
    copies: &Copies,
) -> Result<RunModel, CliError> {
    let unwritten = CliError::unwritten(folder);
    let out = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(out).map_err(&unwritten)?;
    let lock = File::open(out).map_err(&unwritten)?;
    // Without the lock, for example because the file system has none, another merge may be running.
    if lock.lock().is_ok() {
        delete_unfinished(out).map_err(&unwritten)?;
    }
    let temporary = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(out)
        .map_err(&unwritten)?;
    copy_cells(parts, temporary.path()).map_err(&unwritten)?;
    let merged = record(parts, plan, temporary.path(), folder)?;
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(&unwritten)?;
    }
    fs::rename(temporary.path(), folder).map_err(&unwritten)?;
    report::write(folder, copies, &merged)?;
    let merged_folder =
        RunFolder::reopen(out, &plan.facts.run).map_err(|error| unwritten(error.source))?;
    merged_folder.point_latest();
    Ok(merged)
}

/// Writes the merged record to the folder `temporary`, including its last event. Returns the model. Errors name
/// `folder`, to which the record will be moved.
fn record(
    parts: &[Part],
    plan: &Plan,
    temporary: &Path,
    folder: &Path,
) -> Result<RunModel, CliError> {
    let unwritten = CliError::unwritten(folder);
    let mut writer = RecordWriter::create(temporary).map_err(&unwritten)?;
    let mut builder = ModelBuilder::default();
    let mut joined = MergedEvents::open(parts, plan)?;
    for record in &mut joined {
        let record = record?;
        builder.apply(&record);
        writer.on(&record).map_err(&unwritten)?;
    }
    let verdict = verdict_of(&builder.clone().finish(), plan.is_whole);
    let last = joined.closing(Event::RunFinished {
        verdict,
        duration_ms: plan.duration_ms,
    });
    builder.apply(&last);
    writer.on(&last).map_err(&unwritten)?;
    Ok(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CellVerdict, Record, RunVerdict, ShardFacts};
    use crate::report::fixture::{self, Plan, Story};

    const RUN: &str = "nextest-1";

    /// Writes the record of a part with one cell of the run's shard. Unless the part has `ended`, the record contains
    /// only its first events. The part is running until the returned writer is dropped.
    fn part(out: &Path, config: &'static str, ended: bool) -> RecordWriter {
        let plan = Plan("1.36", 1, config, false, Story::Passes);
        let mut records: Vec<Record> = fixture::killed(&[plan]);
        if !ended {
            records.truncate(4);
        }
        for record in &mut records {
            if let Event::RunStarted { facts } = &mut record.event {
                RUN.clone_into(&mut facts.run);
                facts.shard = Some(ShardFacts {
                    index: 1,
                    count: 2,
                    cells: 4,
                    digest: String::new(),
                });
            }
        }
        let part = RunFolder::create_part(out, RUN, config).unwrap();
        let mut writer = RecordWriter::create(part.path()).unwrap();
        for record in &records {
            writer.on(record).unwrap();
        }
        writer
    }

    #[test]
    fn the_parts_of_a_shard_are_combined_into_one_run_each_time_a_part_ends() {
        let out = tempfile::tempdir().unwrap();
        let model = || {
            let recorded = Recorded::find(Some(RUN), out.path()).unwrap();
            recorded.model().unwrap()
        };
        drop(part(out.path(), "default", true));
        drop(part(out.path(), "fast", false));
        combine(out.path(), RUN, &Copies::default()).unwrap();
        assert_eq!(model().verdict, Some(RunVerdict::InfrastructureFailure));
        drop(part(out.path(), "fast", true));
        let copies = Copies {
            junit: Some(out.path().join("copy.xml")),
            summary: None,
        };
        combine(out.path(), RUN, &copies).unwrap();
        let verdicts: Vec<_> = model().cells.iter().map(|cell| cell.verdict).collect();
        assert_eq!(verdicts, [CellVerdict::Passed; 2]);
        assert_eq!(model().verdict, Some(RunVerdict::Passed));
        let report = out.path().join(RUN).join("junit.xml");
        assert_eq!(
            fs::read(report).unwrap(),
            fs::read(out.path().join("copy.xml")).unwrap()
        );
        let shard = Part::read(&out.path().join(RUN)).unwrap();
        let merged = super::Plan::new(&mut [shard]).unwrap();
        assert!(!merged.is_whole, "the other shard is missing");
    }

    #[test]
    fn a_part_that_is_still_running_delays_the_reports_but_not_the_record() {
        let out = tempfile::tempdir().unwrap();
        let report = out.path().join(RUN).join("junit.xml");
        drop(part(out.path(), "default", true));
        let running = part(out.path(), "fast", false);
        combine(out.path(), RUN, &Copies::default()).unwrap();
        assert!(!report.exists());
        let recorded = Recorded::find(Some(RUN), out.path()).unwrap();
        let verdict = recorded.model().unwrap().verdict;
        assert_eq!(verdict, Some(RunVerdict::InfrastructureFailure));
        drop(running);
        combine(out.path(), RUN, &Copies::default()).unwrap();
        assert!(fs::read_to_string(report).unwrap().contains("<error"));
    }

    #[test]
    fn what_a_killed_merge_left_behind_is_not_a_run_and_is_deleted_by_the_next_merge() {
        let out = tempfile::tempdir().unwrap();
        let [run, unfinished] =
            ["run", ".e2e-matrix-merge-abcdef"].map(|name| out.path().join(name));
        for folder in [&run, &unfinished] {
            fs::create_dir(folder).unwrap();
            drop(RecordWriter::create(folder).unwrap());
        }
        assert_eq!(runs_in(out.path()).unwrap(), std::slice::from_ref(&run));
        drop(part(out.path(), "default", true));
        let folder = out.path().join(RUN).join(PARTS).join("default");
        let mut parts = [Part::read(&folder).unwrap()];
        let plan = super::Plan::new(&mut parts).unwrap();
        let merged = out.path().join(&plan.facts.run);
        write(&parts, &plan, &merged, &Copies::default()).unwrap();
        assert!(!unfinished.exists() && run.exists() && merged.exists());
    }

    #[test]
    fn a_record_is_merged_only_under_its_own_name() {
        let out = tempfile::tempdir().unwrap();
        drop(RecordWriter::create(out.path()).unwrap());
        let [record, copy] = [record::FILE_NAME, "copy.ndjson"].map(|name| out.path().join(name));
        fs::copy(&record, &copy).unwrap();
        let found = |path: &Path| folders(path.to_str().unwrap(), out.path());
        assert_eq!(found(&record).unwrap(), [out.path()]);
        let error = found(&copy).unwrap_err().to_string();
        assert!(error.contains("has to be named `events.ndjson`"), "{error}");
    }

    #[test]
    fn parts_of_a_run_share_the_cells_folder() {
        let out = tempfile::tempdir().unwrap();
        let part = RunFolder::create_part(out.path(), RUN, "k8s-1.36-n1-fast").unwrap();
        fs::write(part.path().join("cells/pods.txt"), "pods").unwrap();
        assert!(out.path().join(RUN).join("cells/pods.txt").is_file());
    }
}
