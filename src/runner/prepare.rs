//! Prepares the clusters of cells, without running anything in them.

use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, stream};
use tempfile::TempDir;

use super::admission::Admission;
use super::plan::Planner;
use super::run::close;
use super::session::{SessionError, Setup, base};
use super::{FolderError, RunFolder};
use crate::cluster::{Preparation, Provider};
use crate::event::{Emitter, Failure, Symptom};
use crate::machine::{Ledger, Owner, Resource};
use crate::matrix::{Cell, CellId, Matrix, Phase};
use crate::secret::Secret;
use crate::suite::Interruption;

/// The cells whose clusters to prepare.
pub struct PrepareRequest {
    /// The matrix file, as given. Paths in it are relative to its folder.
    pub path: PathBuf,
    /// The matrix.
    pub matrix: Matrix,
    /// The cells.
    pub cells: Vec<Cell>,
    /// The secrets that the matrix file declares.
    pub secrets: Vec<Secret>,
    /// The runner's own binary.
    pub runner: PathBuf,
    /// The interruption of the command.
    pub interruption: Interruption,
}

/// The result for one cell.
pub struct PreparedCell {
    /// The cell.
    pub cell: CellId,
    /// Its template, or why it has none; `None` if the cell is skipped, because its node image is missing.
    pub preparation: Option<Result<Preparation, Failure>>,
}

/// How the command ends.
pub struct Prepared {
    /// The resources that are left and shouldn't be.
    pub left: Vec<Resource>,
    /// Whether the resources that the clusters shared could be deleted.
    pub finished: Result<(), SessionError>,
}

/// Creates the templates of all cells that have none, as many at once as a run would run cells, and calls `report` with
/// each result in the order of the cells. Returns when all exist or the command is interrupted.
///
/// # Errors
/// All errors that a run would report before its first cell.
pub async fn prepare_clusters(
    request: PrepareRequest,
    mut report: impl FnMut(PreparedCell),
) -> Result<Prepared, SessionError> {
    let PrepareRequest {
        path,
        matrix,
        cells,
        secrets,
        runner,
        interruption,
    } = request;
    let setup = Setup::new(&path, &matrix, &cells, runner, secrets).await?;
    let Setup {
        clock,
        state,
        provider,
        renderer,
    } = setup;
    let settings = &matrix.run;
    renderer.check(&cells, &*provider.provider, &settings.prefix)?;
    // A temporary folder, because nothing in it is kept.
    let folder = TempDir::new().map_err(|source| FolderError {
        path: std::env::temp_dir(),
        source,
    })?;
    let run = RunFolder::create(folder.path())?;
    let owner = Owner::new(run.token(), run.path().to_owned());
    let ledger = Arc::new(Ledger::open(&state, owner)?);
    let provider = provider.provider;
    let planner = Planner {
        mask: renderer.mask(),
        renderer,
        provider: Arc::clone(&provider),
        keep: settings.keep,
        prefix: settings.prefix.clone(),
        cluster: None,
        base: base(&path),
        phases: matrix.phases.clone(),
        checks: Arc::default(),
        folder: run,
        ledger: Arc::clone(&ledger),
        clock: clock.clone(),
    };
    let deadline = clock.deadline(matrix.phases[Phase::Preflight].timeout);
    let survey = provider.preflight(&cells, &deadline).await;
    let survey = survey.map_err(failed)?;
    // Without a receiver: no report shows what a cell waits for.
    let (events, _) = Emitter::new();
    let admission = Admission::new(settings.jobs, &settings.ports, &state, events);
    let preparing = planner.round(&cells, 1).into_iter().map(async |plan| {
        let cell = plan.cell.id.clone();
        let mut preparation = None;
        if !survey.skips.contains_key(&cell) {
            let need = provider.need(&plan.cell);
            let admitted = admission.acquire(&cell, &need);
            let _guard = interruption.token.run_until_cancelled(admitted).await?;
            let prepared = provider.prepare(plan, &interruption.token).await;
            preparation = Some(prepared.and_then(|it| it.ok_or_else(|| unable(&*provider))));
        }
        Some(PreparedCell { cell, preparation })
    });
    let mut preparing = stream::iter(preparing).buffered(cells.len().max(1));
    while let Some(prepared) = preparing.next().await {
        prepared.into_iter().for_each(&mut report);
    }
    drop(preparing);
    let deadline = clock.deadline(matrix.phases[Phase::Cleanup].timeout);
    let finished = provider.finish(&ledger, &deadline).await;
    drop(planner);
    Ok(Prepared {
        left: close(ledger, &state),
        finished: finished.map(drop).map_err(failed),
    })
}

fn unable(provider: &dyn Provider) -> Failure {
    let message = format!(
        "the provider {} has no clusters to prepare",
        provider.name()
    );
    Failure::new(Symptom::BadConfiguration, message).with_remedy("use `--provider kind`")
}

fn failed(failure: Failure) -> SessionError {
    SessionError::Provider(failure.into())
}
