//! `--rerun-failed` and `--resume`: selects cells by their verdicts in an existing run.

use std::collections::BTreeSet;

use super::error::CliError;
use super::matrix_file::{self, Selected};
use super::options::RunOptions;
use super::recorded::Recorded;
use super::streams;
use crate::event::{CellVerdict, RunVerdict};
use crate::matrix::ProviderChoice;
use crate::record::RunModel;
use crate::runner::Resumption;

/// The cells of the run `name` that failed or never ran; `None` if there are none.
pub(super) fn failed_cells(options: &RunOptions, name: &str) -> Result<Option<Selected>, CliError> {
    let mut selected = matrix_file::load(&options.select)?;
    let recorded = find(options, name, &selected)?;
    let run = recorded.model().map_err(CliError::Record)?;
    let id = run_id(&run, &recorded);
    let wanted = ids_of_failed(&run);
    selected
        .cells
        .retain(|cell| wanted.contains(cell.id.as_str()));
    let present: BTreeSet<&str> = selected.cells.iter().map(|cell| cell.id.as_str()).collect();
    let gone: Vec<&str> = wanted.difference(&present).copied().collect();
    if !gone.is_empty() {
        let gone = gone.join(", ");
        selected.warnings.push(format!(
            "the matrix no longer contains these cells of {id}, so they can't be rerun: {gone}"
        ));
    }
    if selected.cells.is_empty() {
        streams::notice(&format!(
            "nothing to rerun: every cell of {id} that is still in the matrix has passed"
        ))?;
        return Ok(None);
    }
    selected.selection.rerun_of = Some(id);
    Ok(Some(selected))
}

/// The cells that did not pass, by their ids in the matrix.
fn ids_of_failed(run: &RunModel) -> BTreeSet<&str> {
    let failed = run.cells.iter().filter(|cell| match cell.verdict {
        CellVerdict::Passed | CellVerdict::Flaky => false,
        CellVerdict::Failed
        | CellVerdict::Error
        | CellVerdict::Skipped
        | CellVerdict::Interrupted => true,
    });
    failed.map(|cell| cell.summary.id.in_matrix()).collect()
}

/// The result of `--resume`.
pub(super) enum Resumed {
    /// There are cells left to run.
    Unfinished(Box<Selected>, Box<Resumption>),
    /// The run is complete, with this verdict.
    Over(RunVerdict),
}

/// The cells of the run `name` that have no verdict of their own yet.
pub(super) fn unfinished_cells(options: &RunOptions, name: &str) -> Result<Resumed, CliError> {
    let mut selected = matrix_file::load(&options.select)?;
    let recorded = find(options, name, &selected)?;
    let resumption = Resumption::open(&recorded.folder).map_err(CliError::Resume)?;
    let facts = resumption.facts();
    if let (Some(verdict), true) = (resumption.run().verdict, resumption.is_complete()) {
        streams::notice(&format!(
            "nothing to resume: every cell of {} has its verdict",
            facts.run
        ))?;
        return Ok(Resumed::Over(verdict));
    }
    let digest = selected.digest_with(&facts.filters, facts.shard.as_ref());
    if facts.selection_digest.as_deref() != Some(&*digest) {
        return Err(CliError::MatrixChanged {
            run: facts.run.clone(),
        });
    }
    same_provider(options, &facts.provider)?;
    let left: BTreeSet<&str> = resumption
        .unsettled()
        .map(|cell| cell.summary.id.in_matrix())
        .collect();
    selected
        .cells
        .retain(|cell| left.contains(cell.id.as_str()));
    Ok(Resumed::Unfinished(
        Box::new(selected),
        Box::new(resumption),
    ))
}

/// All parts of a run use the same provider.
fn same_provider(options: &RunOptions, recorded: &str) -> Result<(), CliError> {
    match options.clusters.provider.map(ProviderChoice::from) {
        None | Some(ProviderChoice::Auto) => Ok(()),
        asked if asked == ProviderChoice::from_name(recorded) => Ok(()),
        Some(_) => Err(CliError::OtherProvider {
            provider: recorded.to_owned(),
        }),
    }
}

fn find(options: &RunOptions, name: &str, selected: &Selected) -> Result<Recorded, CliError> {
    Recorded::find(Some(name), &options.output_dir.of(&selected.path))
}

/// The run's id; its folder if the record doesn't contain it.
fn run_id(run: &RunModel, recorded: &Recorded) -> String {
    let id = run.facts.as_ref().map(|facts| facts.run.clone());
    id.unwrap_or_else(|| recorded.folder.display().to_string())
}
