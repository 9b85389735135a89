//! A whole run in one call: what the binary and a test process both do with the cells they selected.

use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::leftovers;
use super::{
    Chosen, Course, Earlier, FolderError, PlanError, Planner, ProviderError, ProviderOptions,
    ResumeError, Resumption, RunFolder, RunOutcome, RunRequest, Selection, Sourced, choose, run,
};
use crate::cluster::ClusterName;
use crate::deadline::RunClock;
use crate::error::chain;
use crate::event::Severity;
use crate::machine::{History, HistoryFile, Ledger, LedgerError, Owner, StateFolder, absolute};
use crate::matrix::{Cell, Matrix, ProviderChoice};
use crate::record::{RecordWriter, Sink};
use crate::secret::{Mask, Secret, hide_in_log};
use crate::suite::Interruption;

/// How many cells a run may have, each round counted.
const MOST_CELLS: usize = 10_000;

/// Selected cells, and where and how to run them.
pub struct Session {
    /// The matrix file, as it was named. Paths in it are relative to its folder.
    pub path: PathBuf,
    /// The matrix.
    pub matrix: Matrix,
    /// The selected cells.
    pub cells: Vec<Cell>,
    /// What the matrix file says to be secret.
    pub secrets: Vec<Secret>,
    /// What selected them.
    pub selection: Selection,
    /// What there is to know about the selection.
    pub warnings: Vec<String>,
    /// The run that goes on, where it is no new one.
    pub resumption: Option<Resumption>,
    /// How often the run goes round, and what ends it early.
    pub course: Course,
    /// The runner's own binary.
    pub runner: PathBuf,
    /// The folder for runs; `target/e2e-matrix` beside the matrix file where there is none.
    pub out: Option<PathBuf>,
    /// The run that this one is a part of, where several processes share one.
    pub part: Option<Part>,
    /// The exact name of the cluster, where one cell is selected.
    pub cluster: Option<ClusterName>,
    /// Where else reports are written. Their folders are made before the first cell.
    pub copies: Vec<PathBuf>,
    /// Sinks besides the record, made once the run's folder is known.
    pub sinks: LiveSinks,
    /// What ends the run early.
    pub interruption: Interruption,
    /// The command that removes what dead runs left, as people type it.
    pub gc: String,
}

/// Makes the sinks of the run in a folder, the record excepted.
pub type LiveSinks = Box<dyn FnOnce(&Path) -> Vec<Box<dyn Sink>>>;

/// A part of a run that several processes share.
pub struct Part {
    /// The run's id.
    pub run: String,
    /// The part's.
    pub part: String,
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The cells can't be run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The output folder can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The run can't go on.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The ledger can't be kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The rounds have more cells than a run may have.
    #[error(
        "{cells} cells in {rounds} rounds are more than the {MOST_CELLS} cells that a run may have"
    )]
    TooManyCells {
        /// How many cells were selected.
        cells: usize,
        /// How often.
        rounds: NonZeroU32,
    },
    /// A report's second place can't be used.
    #[error("failed to prepare the folder of {}", path.display())]
    Copy {
        /// The report.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SessionError {
    /// Whether the matrix, a manifest or an option is to blame, rather than the machine.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Provider(error) => error.is_configuration(),
            Self::Plan(_) | Self::TooManyCells { .. } => true,
            Self::Folder(_) | Self::Resume(_) | Self::Ledger(_) | Self::Copy { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Provider(error) => error.hint(),
            Self::Folder(_) => Some("name another folder with `--out DIR`".to_owned()),
            Self::Ledger(_) => {
                Some("name another folder for the state in E2E_MATRIX_STATE_DIR".to_owned())
            }
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
/// Everything that can be refused before the first cluster. What fails later is in the outcome.
pub async fn execute(mut session: Session) -> Result<RunOutcome, SessionError> {
    bounded(session.cells.len(), session.course.planned_rounds())?;
    let secrets = std::mem::take(&mut session.secrets);
    let runner = session.runner.clone();
    let Ground {
        clock,
        state,
        provider,
        sourced,
    } = Ground::of(
        &session.path,
        &session.matrix,
        &session.cells,
        runner,
        secrets,
    )
    .await?;
    let folder_of_matrix = base(&session.path);
    let settings = &session.matrix.run;
    sourced.check(&session.cells, &*provider.provider, &settings.prefix)?;
    let mask = sourced.mask();
    hide_in_log(&mask);
    let folder = session.folder()?;
    prepare(&session.copies)?;
    let mut earlier = Earlier::default();
    if let Some(resumption) = &session.resumption {
        earlier = Earlier::of(resumption);
        session
            .warnings
            .extend(resumption.clear(&folder, &state).await);
    }
    let ledger = Arc::new(Ledger::open(&state, owner(&folder, &session.copies))?);
    folder.point_latest();
    let texts = sourced.notices().into_iter();
    let name = provider.provider.name();
    let no_reuse = (settings.reuse && !provider.provider.reuses())
        .then(|| format!("--reuse has no effect with the provider {name}"));
    let texts = texts.chain(no_reuse);
    let texts = texts.chain(leftovers::notice(&state, &session.gc));
    let warnings = session.warnings.into_iter();
    let mut notices: Vec<_> = warnings.map(|text| (Severity::Warning, text)).collect();
    notices.extend(texts.map(|text| (Severity::Info, text)));
    let history = HistoryFile::of(&state).load().unwrap_or_else(|error| {
        let text = format!("how long cells took before is not known: {}", chain(&error));
        notices.push((Severity::Warning, text));
        History::default()
    });
    let sinks = sinks(&folder, session.sinks, session.resumption)?;
    Ok(run(RunRequest {
        matrix: session.path,
        selection: session.selection,
        jobs: settings.jobs,
        ports: settings.ports.clone(),
        retry: settings.retry.clone(),
        course: session.course,
        notices,
        history,
        earlier,
        cells: session.cells,
        planner: Planner {
            sourced,
            mask,
            provider: Arc::clone(&provider.provider),
            keep: settings.keep,
            prefix: settings.prefix.clone(),
            cluster: session.cluster,
            phases: session.matrix.phases,
            checks: Arc::new(session.matrix.checks),
            base: folder_of_matrix,
            folder,
            ledger,
            clock,
        },
        provider,
        state,
        interruption: session.interruption,
        sinks,
    })
    .await)
}

/// What every command needs that looks at cells more closely than the matrix file does. Nothing of it is a part of a run yet.
pub(super) struct Ground {
    pub(super) clock: RunClock,
    pub(super) state: StateFolder,
    pub(super) provider: Chosen,
    pub(super) sourced: Sourced,
}

impl Ground {
    /// Chooses the provider for `cells` of `matrix`, the file at `path`, and reads the manifests. The log hides `secrets`.
    pub(super) async fn of(
        path: &Path,
        matrix: &Matrix,
        cells: &[Cell],
        runner: PathBuf,
        secrets: Vec<Secret>,
    ) -> Result<Self, SessionError> {
        hide_in_log(&Mask::new(secrets.iter().cloned()));
        let base = base(path);
        let clock = RunClock::new();
        let state = StateFolder::of_user();
        let settings = &matrix.run;
        let options = ProviderOptions {
            runner,
            base: base.clone(),
            images: matrix.images.clone(),
            existing: matrix.existing.clone(),
            prefix: settings.prefix.clone(),
            tuned: settings.tuned,
            reuse: settings.reuse,
            state: state.clone(),
            clock: clock.clone(),
        };
        let provider = choose(settings.provider, options, cells).await?;
        let images = Arc::clone(&provider.provider);
        let sourced = Sourced::read(&matrix.deploy, &base, cells, images, secrets).await?;
        Ok(Self {
            clock,
            state,
            provider,
            sourced,
        })
    }
}

/// Every cell of every round is planned before the first one begins.
fn bounded(cells: usize, rounds: NonZeroU32) -> Result<(), SessionError> {
    match cells.checked_mul(rounds.get() as usize) {
        Some(all) if all <= MOST_CELLS => Ok(()),
        Some(_) | None => Err(SessionError::TooManyCells { cells, rounds }),
    }
}

impl Session {
    /// Lets the session go on with a run, whose provider, rounds and rule about flaky cells hold.
    pub fn resume(&mut self, resumption: Resumption) {
        let (facts, run) = (resumption.facts(), &mut self.matrix.run);
        run.retry.flaky_result = facts.flaky_result;
        run.provider = ProviderChoice::named(&facts.provider).unwrap_or(run.provider);
        self.course.repeat = resumption.rounds().and_then(NonZeroU32::new);
        self.resumption = Some(resumption);
    }

    fn folder(&self) -> Result<RunFolder, FolderError> {
        if let Some(resumption) = &self.resumption {
            return resumption.folder();
        }
        let out = self.out.clone().unwrap_or_else(|| out(&self.path));
        match &self.part {
            None => RunFolder::create(&out),
            Some(Part { run, part }) => RunFolder::create_part(&out, run, part),
        }
    }
}

/// The folder for runs of the matrix file at `matrix`, where no other is named.
pub fn out(matrix: &Path) -> PathBuf {
    base(matrix).join("target/e2e-matrix")
}

/// The folder that paths in the matrix file are relative to.
pub fn base(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// What the ledger says of the run, for whoever finds it dead.
fn owner(folder: &RunFolder, copies: &[PathBuf]) -> Owner {
    let folders = copies
        .iter()
        .filter_map(|path| Some(absolute(path.parent()?.to_owned())));
    Owner {
        copies: folders.collect(),
        ..Owner::new(folder.token(), absolute(folder.path().to_owned()))
    }
}

/// Makes the folders of the copies, to find out before any work whether they can be there.
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

/// The record is the last: what the others show must not wait for a disk. It is whole before any of them works on the run's end.
fn sinks(
    folder: &RunFolder,
    sinks: LiveSinks,
    resumption: Option<Resumption>,
) -> Result<Vec<Box<dyn Sink>>, SessionError> {
    let mut sinks = sinks(folder.path());
    let record = match resumption {
        Some(resumption) => resumption.recall(&mut sinks)?,
        None => RecordWriter::create(folder.path()).map_err(|source| FolderError {
            path: folder.path().to_owned(),
            source,
        })?,
    };
    sinks.push(Box::new(record));
    Ok(sinks)
}
