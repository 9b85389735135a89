//! Determines which cells run: the selected cells, those that did not pass in an earlier run (`--rerun-failed`), or
//! those that an earlier run did not finish (`--resume`).

use std::collections::BTreeSet;

use super::error::CliError;
use super::exit::Exit;
use super::matrix_file::{self, Selected};
use super::options::RunOptions;
use super::recorded::Recorded;
use super::streams;
use crate::event::{CellVerdict, RunVerdict};
use crate::matrix::{FlakyResult, ProviderChoice};
use crate::record::RunModel;
use crate::runner::{ResumeError, Resumption};

/// What to run.
pub(super) enum Wanted {
    /// These cells, in a new or a resumed run.
    Cells(Box<Selected>, Option<Box<Resumption>>),
    /// Nothing. The reason has been printed.
    Nothing(Exit),
}

/// What to run according to `options`.
pub(super) fn wanted(options: &RunOptions) -> Result<Wanted, CliError> {
    let selected = matrix_file::load(&options.select)?;
    if let Some(name) = &options.rerun.rerun_failed {
        return failed_cells(options, selected, name);
    }
    if let Some(name) = &options.rerun.resume {
        return unfinished_cells(options, selected, name);
    }
    if selected.cells.is_empty() {
        let exit = selected.nothing_to_do(options.select.no_cells)?;
        return Ok(Wanted::Nothing(exit));
    }
    Ok(Wanted::Cells(Box::new(selected), None))
}

/// The cells of the run `name` that failed or never ran.
fn failed_cells(
    options: &RunOptions,
    mut selected: Selected,
    name: &str,
) -> Result<Wanted, CliError> {
    let recorded = find(options, name, &selected)?;
    let run = recorded.model()?;
    let Some(facts) = &run.facts else {
        let folder = recorded.folder.clone();
        return Err(ResumeError::NotStarted { folder }.into());
    };
    let id = facts.run.clone();
    let wanted = ids_of_failed(&run, facts.flaky_result);
    selected.retain(|id| wanted.contains(id));
    let present: BTreeSet<&str> = selected.cells.iter().map(|cell| cell.id.as_str()).collect();
    let gone: Vec<&str> = wanted.difference(&present).copied().collect();
    let gone = gone.join(", ");
    match (selected.cells.is_empty(), gone.is_empty()) {
        (true, true) => {
            streams::notice(&format!("nothing to rerun: every cell of {id} has passed"))?;
            // Cells of a missing shard or of a killed run can't be rerun.
            return Ok(Wanted::Nothing(match run.verdict {
                Some(RunVerdict::InfrastructureFailure) | None => Exit::Infrastructure,
                Some(_) => Exit::Passed,
            }));
        }
        (true, false) => {
            return Err(CliError::rejected(
                format!(
                    "the matrix no longer contains any of the cells of {id} that did not pass: {gone}"
                ),
                "restore these cells in the matrix file, or start a new run",
            ));
        }
        (false, true) => {}
        (false, false) => selected.selection.warnings.push(format!(
            "the matrix no longer contains these cells of {id}, so they can't be rerun: {gone}"
        )),
    }
    selected.selection.rerun_of = Some(id);
    Ok(Wanted::Cells(Box::new(selected), None))
}

/// The cells that did not pass, by their ids in the matrix. `flaky_result` determines whether flaky cells passed.
fn ids_of_failed(run: &RunModel, flaky_result: FlakyResult) -> BTreeSet<&str> {
    let failed = run.cells.iter().filter(|cell| match cell.verdict {
        CellVerdict::Passed => false,
        CellVerdict::Flaky => flaky_result == FlakyResult::Fail,
        CellVerdict::Failed
        | CellVerdict::Error
        | CellVerdict::Skipped
        | CellVerdict::Interrupted => true,
    });
    failed.map(|cell| cell.summary.id.in_matrix()).collect()
}

/// The cells of the run `name` that don't have a final verdict yet.
fn unfinished_cells(
    options: &RunOptions,
    mut selected: Selected,
    name: &str,
) -> Result<Wanted, CliError> {
    let recorded = find(options, name, &selected)?;
    let resumption = Resumption::open(&recorded.folder)?;
    let facts = resumption.facts();
    if let Some(verdict) = resumption.final_verdict() {
        streams::notice(&format!(
            "nothing to resume: every cell of {} already has a verdict",
            facts.run
        ))?;
        return Ok(Wanted::Nothing(verdict.into()));
    }
    let digest = matrix_file::digest(&selected.text, &facts.filters, facts.shard.as_ref());
    if facts.selection_digest.as_deref() != Some(&*digest) {
        let run = &facts.run;
        return Err(CliError::rejected(
            format!("the matrix file has changed since the run {run} started"),
            "use `--rerun-failed` to run the cells that did not pass, or start a new run",
        ));
    }
    same_provider(options, &facts.provider)?;
    let left = resumption.unsettled();
    let left: BTreeSet<&str> = left.map(|cell| cell.summary.id.in_matrix()).collect();
    selected.retain(|id| left.contains(id));
    let resumption = Some(Box::new(resumption));
    Ok(Wanted::Cells(Box::new(selected), resumption))
}

/// A resumed run must use the provider that it started with.
fn same_provider(options: &RunOptions, recorded: &str) -> Result<(), CliError> {
    match options.clusters.provider {
        None | Some(ProviderChoice::Auto) => Ok(()),
        asked if asked == ProviderChoice::from_name(recorded) => Ok(()),
        Some(_) => Err(CliError::rejected(
            format!(
                "the run was started with the provider {recorded}, and can't be resumed with another one"
            ),
            "omit `--provider`, or start a new run",
        )),
    }
}

fn find(options: &RunOptions, name: &str, selected: &Selected) -> Result<Recorded, CliError> {
    Recorded::find(Some(name), &options.output_dir.of(&selected.path))
}
