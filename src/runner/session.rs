//! A whole run in one call, for the binary and for test processes.

use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::Instrument;

use super::leftovers;
use super::setup::{Setup, Workload};
use super::{
    Earlier, FolderError, PlanError, Planner, ResumeError, Resumption, RunFolder, RunOutcome,
    RunPolicy, RunRequest, Selection, run,
};
use crate::cluster::ClusterName;
use crate::error::chain;
use crate::event::{Failure, FailureClass, Severity};
use crate::machine::{History, HistoryFile, Ledger, LedgerError, Owner, absolute};
use crate::matrix::ProviderChoice;
use crate::record::{RecordWriter, Sink};
use crate::suite::Interruption;

/// How many cells a run may have in all of its rounds.
const MAX_CELLS: usize = 10_000;

/// Selected cells, and how to run them.
pub struct Session {
    /// The cells and their matrix.
    pub workload: Workload,
    /// The selection of the cells.
    pub selection: Selection,
    /// The run that is resumed, if it isn't a new one.
    pub resumption: Option<Resumption>,
    /// Repetitions, and what ends the run early.
    pub policy: RunPolicy,
    /// The folder for runs.
    pub out: PathBuf,
    /// The run that this one is a part of, if several processes share one.
    pub part: Option<PartId>,
    /// The exact name of the cluster, for a single cell.
    pub cluster: Option<ClusterName>,
    /// Additional locations for reports. Their folders are created before the first cell.
    pub copies: Vec<PathBuf>,
    /// Creates the sinks other than the record, when the run's folder is known.
    pub sinks: LiveSinks,
    /// The interruption of the run.
    pub interruption: Interruption,
    /// The command that deletes resources of dead runs, as users enter it.
    pub gc: String,
}

/// Creates the sinks of the run in a folder, except the record.
pub type LiveSinks = Box<dyn FnOnce(&Path) -> Vec<Box<dyn Sink>>>;

/// A part of a run that several processes share.
pub struct PartId {
    /// The run's id.
    pub run: String,
    /// The part's id.
    pub part: String,
}

/// A run could not start.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no usable provider.
    #[error(transparent)]
    Provider(#[from] Failure),
    /// The cells can't be run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The output folder can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The run can't be resumed.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The ledger can't be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The rounds have too many cells.
    #[error("{rounds} rounds of {cells} cells exceed the limit of {MAX_CELLS} cells per run")]
    TooManyCells {
        /// The number of selected cells.
        cells: usize,
        /// The number of rounds.
        rounds: u32,
    },
    /// The folder of an additional report can't be created.
    #[error("failed to create the folder of {}", path.display())]
    Copy {
        /// The report.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl SessionError {
    /// Whether the cause is the matrix file, a manifest or an option rather than the machine.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Provider(failure) => failure.class() == FailureClass::Configuration,
            Self::Plan(_) | Self::TooManyCells { .. } => true,
            Self::Folder(_) | Self::Resume(_) | Self::Ledger(_) | Self::Copy { .. } => false,
        }
    }

    /// What the user can do about the error.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Provider(failure) => failure.remedy.clone(),
            Self::Folder(_) => Some("choose another folder with `--output-dir DIR`".to_owned()),
            Self::Ledger(_) => Some("set E2E_MATRIX_STATE_DIR to another folder".to_owned()),
            Self::TooManyCells { .. } => Some(
                "select fewer cells with `--filter`, or run fewer rounds with `--repeat`"
                    .to_owned(),
            ),
            Self::Plan(_) | Self::Resume(_) | Self::Copy { .. } => None,
        }
    }
}

/// Runs a session to its end.
///
/// # Errors
/// All errors that are found before the first cluster is created. Later failures are in the outcome.
pub async fn execute(session: Session) -> Result<RunOutcome, SessionError> {
    // All cells of all rounds are planned before the first one starts.
    let cells = session.workload.cells.len();
    let rounds = session.policy.planned_rounds();
    if cells.saturating_mul(rounds as usize) > MAX_CELLS {
        return Err(SessionError::TooManyCells { cells, rounds });
    }
    let setup = Arc::new(Setup::new(session.workload).await?);
    let state = &setup.state;
    let folder = match (&session.resumption, &session.part) {
        (Some(resumption), _) => resumption.folder()?,
        (None, Some(PartId { run, part })) => RunFolder::create_part(&session.out, run, part)?,
        (None, None) => RunFolder::create(&session.out)?,
    };
    prepare(&session.copies)?;
    let mut selection = session.selection;
    let mut warnings = std::mem::take(&mut selection.warnings);
    if let Some(resumption) = &session.resumption {
        warnings.extend(resumption.clear(&folder, state).await);
    }
    let ledger = Arc::new(Ledger::open(state, owner(&folder, &session.copies))?);
    folder.point_latest();
    let mut infos = setup.renderer.notices();
    if setup.matrix.run.reuse && !setup.provider.reuses() {
        let name = setup.provider.name();
        infos.push(format!("--reuse has no effect with the provider {name}"));
    }
    infos.extend(leftovers::notice(state, &session.gc));
    let warnings = warnings.into_iter().map(|text| (Severity::Warning, text));
    let infos = infos.into_iter().map(|text| (Severity::Info, text));
    let mut notices: Vec<_> = warnings.chain(infos).collect();
    let history = HistoryFile::of(state).load().unwrap_or_else(|error| {
        let why = chain(&error);
        let text = format!("failed to read the durations of earlier runs: {why}");
        notices.push((Severity::Warning, text));
        History::default()
    });
    let (sinks, earlier) = sinks(&folder, session.sinks, session.resumption)?;
    let span = tracing::info_span!("run", id = folder.id());
    let request = RunRequest {
        planner: Planner::new(&setup, session.cluster, folder, ledger),
        setup,
        selection,
        policy: session.policy,
        notices,
        history,
        earlier,
        interruption: session.interruption,
        sinks,
    };
    Ok(run(request).instrument(span).await)
}

impl Session {
    /// Resumes a run, and takes over its provider, rounds and flaky-result setting.
    pub fn resume(&mut self, resumption: Resumption) {
        let (facts, run) = (resumption.facts(), &mut self.workload.matrix.run);
        run.retry.flaky_result = facts.flaky_result;
        run.provider = ProviderChoice::from_name(&facts.provider).unwrap_or(run.provider);
        self.policy.repeat = resumption.rounds().and_then(NonZeroU32::new);
        self.resumption = Some(resumption);
    }
}

/// The ledger's entry about the run.
fn owner(folder: &RunFolder, copies: &[PathBuf]) -> Owner {
    let folders = copies
        .iter()
        .filter_map(|path| Some(absolute(path.parent()?.to_owned())));
    Owner {
        copies: folders.collect(),
        ..Owner::new(folder.token(), absolute(folder.path().to_owned()))
    }
}

/// Creates the folders of the additional reports, to find errors before any work.
pub fn prepare(copies: &[PathBuf]) -> Result<(), SessionError> {
    for path in copies {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| SessionError::Copy {
                path: path.clone(),
                source,
            })?;
        }
    }
    Ok(())
}

/// All sinks, with the record last: displays must not wait for the disk. The record is complete before any sink handles
/// the end of the run. Also returns what is known from earlier sessions.
fn sinks(
    folder: &RunFolder,
    sinks: LiveSinks,
    resumption: Option<Resumption>,
) -> Result<(Vec<Box<dyn Sink>>, Earlier), SessionError> {
    let mut sinks = sinks(folder.path());
    let (record, earlier) = if let Some(resumption) = resumption {
        resumption.recall(&mut sinks)?
    } else {
        let path = folder.path().to_owned();
        let record = RecordWriter::create(&path);
        let record = record.map_err(|source| FolderError { path, source })?;
        (record, Earlier::default())
    };
    sinks.push(Box::new(record));
    Ok((sinks, earlier))
}
