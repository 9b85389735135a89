//! A whole run in one call, for the binary and for test processes.

use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::Instrument;

use super::leftovers;
use super::{
    Chosen, Earlier, FolderError, PlanError, Planner, ProviderError, ProviderOptions, Renderer,
    ResumeError, Resumption, RunFolder, RunOutcome, RunPolicy, RunRequest, Selection, choose, run,
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

/// How many cells a run may have in all of its rounds.
const MAX_CELLS: usize = 10_000;

/// Selected cells, and how to run them.
pub struct Session {
    /// The matrix file, as given. Paths in it are relative to its folder.
    pub path: PathBuf,
    /// The matrix.
    pub matrix: Matrix,
    /// The selected cells.
    pub cells: Vec<Cell>,
    /// The secrets that the matrix file declares.
    pub secrets: Vec<Secret>,
    /// Their selection.
    pub selection: Selection,
    /// Warnings about the selection.
    pub warnings: Vec<String>,
    /// The run that is resumed, if it isn't a new one.
    pub resumption: Option<Resumption>,
    /// Repetitions, and what ends the run early.
    pub policy: RunPolicy,
    /// The runner's own binary.
    pub runner: PathBuf,
    /// The folder for runs; by default `target/e2e-matrix` next to the matrix file.
    pub out: Option<PathBuf>,
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
    Provider(#[from] ProviderError),
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
    #[error("{cells} cells in {rounds} rounds exceed the limit of {MAX_CELLS} cells per run")]
    TooManyCells {
        /// The number of selected cells.
        cells: usize,
        /// The number of rounds.
        rounds: NonZeroU32,
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
    /// Whether the matrix file, a manifest or an option is the cause, and not the machine.
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
/// All errors that are found before the first cluster. Later failures are in the outcome.
pub async fn execute(mut session: Session) -> Result<RunOutcome, SessionError> {
    check_count(session.cells.len(), session.policy.planned_rounds())?;
    let secrets = std::mem::take(&mut session.secrets);
    let runner = session.runner.clone();
    let Setup {
        clock,
        state,
        provider,
        renderer,
    } = Setup::new(
        &session.path,
        &session.matrix,
        &session.cells,
        runner,
        secrets,
    )
    .await?;
    let folder_of_matrix = base(&session.path);
    let settings = &session.matrix.run;
    renderer.check(&session.cells, &*provider.provider, &settings.prefix)?;
    let mask = renderer.mask();
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
    let texts = renderer.notices().into_iter();
    let name = provider.provider.name();
    let no_reuse = (settings.reuse && !provider.provider.reuses())
        .then(|| format!("--reuse has no effect with the provider {name}"));
    let texts = texts.chain(no_reuse);
    let texts = texts.chain(leftovers::notice(&state, &session.gc));
    let warnings = session.warnings.into_iter();
    let mut notices: Vec<_> = warnings.map(|text| (Severity::Warning, text)).collect();
    notices.extend(texts.map(|text| (Severity::Info, text)));
    let history = HistoryFile::of(&state).load().unwrap_or_else(|error| {
        let text = format!(
            "failed to read the durations of earlier runs: {}",
            chain(&error)
        );
        notices.push((Severity::Warning, text));
        History::default()
    });
    let sinks = sinks(&folder, session.sinks, session.resumption)?;
    let span = tracing::info_span!("run", id = folder.id());
    let request = RunRequest {
        matrix: session.path,
        selection: session.selection,
        jobs: settings.jobs,
        ports: settings.ports.clone(),
        retry: settings.retry.clone(),
        policy: session.policy,
        notices,
        history,
        earlier,
        cells: session.cells,
        planner: Planner {
            renderer,
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
    };
    Ok(run(request).instrument(span).await)
}

/// Everything that commands need in addition to the matrix file, before a run exists.
pub(super) struct Setup {
    pub(super) clock: RunClock,
    pub(super) state: StateFolder,
    pub(super) provider: Chosen,
    pub(super) renderer: Renderer,
}

impl Setup {
    /// Chooses the provider for `cells` of `matrix`, the file at `path`, and reads the manifests. `secrets` are masked
    /// in the log.
    pub(super) async fn new(
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
            fast_setup: settings.fast_setup,
            reuse: settings.reuse,
            prepared: settings.prepared,
            skip_missing_images: settings.skip_missing_images,
            state: state.clone(),
            clock: clock.clone(),
        };
        let provider = choose(settings.provider, options, cells).await?;
        let images = Arc::clone(&provider.provider);
        let renderer = Renderer::read(&matrix.deploy, &base, cells, images, secrets).await?;
        Ok(Self {
            clock,
            state,
            provider,
            renderer,
        })
    }
}

/// All cells of all rounds are planned before the first one starts.
fn check_count(cells: usize, rounds: NonZeroU32) -> Result<(), SessionError> {
    match cells.checked_mul(rounds.get() as usize) {
        Some(all) if all <= MAX_CELLS => Ok(()),
        Some(_) | None => Err(SessionError::TooManyCells { cells, rounds }),
    }
}

impl Session {
    /// Resumes a run, whose provider, rounds and rule about flaky cells apply.
    pub fn resume(&mut self, resumption: Resumption) {
        let (facts, run) = (resumption.facts(), &mut self.matrix.run);
        run.retry.flaky_result = facts.flaky_result;
        run.provider = ProviderChoice::from_name(&facts.provider).unwrap_or(run.provider);
        self.policy.repeat = resumption.rounds().and_then(NonZeroU32::new);
        self.resumption = Some(resumption);
    }

    fn folder(&self) -> Result<RunFolder, FolderError> {
        if let Some(resumption) = &self.resumption {
            return resumption.folder();
        }
        let out = self.out.clone().unwrap_or_else(|| out(&self.path));
        match &self.part {
            None => RunFolder::create(&out),
            Some(PartId { run, part }) => RunFolder::create_part(&out, run, part),
        }
    }
}

/// The default folder for the runs of the matrix file at `matrix`.
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
/// the end of the run.
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
