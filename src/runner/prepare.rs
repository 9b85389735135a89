//! Prepares the clusters of cells, without running anything in them.

use std::sync::Arc;

use futures::{StreamExt, stream};
use tempfile::TempDir;

use super::admission::Admission;
use super::plan::Planner;
use super::run::close;
use super::setup::{Setup, Workload};
use super::{FolderError, RunFolder, SessionError};
use crate::cluster::{Preparation, Provider};
use crate::event::{Emitter, Failure, Symptom};
use crate::machine::{Ledger, Owner, Resource};
use crate::matrix::{CellId, Phase};
use crate::suite::Interruption;

/// The result for one cell.
pub struct PreparedCell {
    /// The cell.
    pub cell: CellId,
    /// Its template, or why it has none; `None` if the cell is skipped, because its node image is missing.
    pub preparation: Option<Result<Preparation, Failure>>,
}

/// How the command ends.
pub struct Prepared {
    /// The resources that should have been deleted, but may still exist.
    pub left: Vec<Resource>,
    /// Whether the resources that the clusters shared could be deleted.
    pub finished: Result<(), Failure>,
}

/// Creates a template for each cell that has none. Works on as many templates at once as a run would run cells. Calls
/// `report` with each result, in the order of the cells. Returns when all results are reported or `interruption`
/// happens.
///
/// # Errors
/// All errors that a run would report before its first cell.
pub async fn prepare_clusters(
    workload: Workload,
    interruption: &Interruption,
    mut report: impl FnMut(PreparedCell),
) -> Result<Prepared, SessionError> {
    let setup = Arc::new(Setup::new(workload).await?);
    let provider = &setup.provider;
    // A temporary folder, because nothing in it is kept.
    let folder = TempDir::new().map_err(|source| FolderError {
        path: std::env::temp_dir(),
        source,
    })?;
    let run = RunFolder::create(folder.path())?;
    let owner = Owner::new(run.token(), run.path().to_owned());
    let ledger = Arc::new(Ledger::open(&setup.state, owner)?);
    let planner = Planner::new(&setup, None, run, Arc::clone(&ledger));
    let deadline = setup.deadline(Phase::Preflight);
    let survey = provider.preflight(&setup.cells, &deadline).await?;
    // The events have no receiver, because no report shows what a cell waits for.
    let (events, _) = Emitter::new();
    let settings = &setup.matrix.run;
    let admission = Admission::new(settings.jobs, &settings.ports, &setup.state, events);
    let preparing = planner.round(1).into_iter().map(async |plan| {
        let cell = plan.cell.id.clone();
        let mut preparation = None;
        if !survey.skips.contains_key(&cell) {
            let need = provider.need(&plan.cell);
            let admitted = admission.acquire(&cell, &need);
            let _guard = interruption.token.run_until_cancelled(admitted).await?;
            let prepared = provider.prepare(plan, &interruption.token).await;
            preparation = Some(prepared.and_then(|it| it.ok_or_else(|| unable(&**provider))));
        }
        Some(PreparedCell { cell, preparation })
    });
    let mut preparing = stream::iter(preparing).buffered(setup.cells.len().max(1));
    while let Some(prepared) = preparing.next().await {
        prepared.into_iter().for_each(&mut report);
    }
    drop(preparing);
    let deadline = setup.deadline(Phase::Cleanup);
    let finished = provider.finish(&ledger, &deadline).await;
    drop(planner);
    Ok(Prepared {
        left: close(ledger, &setup.state),
        finished: finished.map(drop),
    })
}

fn unable(provider: &dyn Provider) -> Failure {
    let message = format!(
        "the provider {} has no clusters to prepare",
        provider.name()
    );
    Failure::new(Symptom::BadConfiguration, message).with_remedy("use `--provider kind`")
}
