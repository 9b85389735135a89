//! Errors that end a command before it has done its work, with their output and exit codes.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::exit::Exit;
use super::options::Color;
use crate::error::causes;
use crate::record::RecordError;
use crate::record::merge::MergeError;
use crate::report::{TerminalInfo, WriteError};
use crate::runner::{ResumeError, SessionError};
use crate::secret::log_mask;

/// An error that ends a command before it has done its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// An error with places in a text.
    #[error("the input can't be used")]
    Report(miette::Report),
    #[error("there is no matrix.toml in {} or any parent folder", here.display())]
    NoMatrix { here: PathBuf },
    #[error("failed to read the matrix file {}", path.display())]
    MatrixUnreadable { path: PathBuf, source: io::Error },
    #[error("failed to read the timings {}", path.display())]
    Timings { path: PathBuf, source: io::Error },
    #[error("`{id}` is neither a cell of the matrix nor a symptom")]
    NoCell { id: String, nearest: Option<String> },
    #[error("the environment variable {old} is set, but it was renamed to {new}")]
    RenamedVariable { old: String, new: String },
    #[error("failed to determine the current folder")]
    CurrentFolder(#[source] io::Error),
    #[error("`--cluster-name` is the name of one cluster, but {cells} cells are selected")]
    OneNameForMany { cells: usize },
    #[error("`--cluster-name` is the name of one cluster, but `--repeat` runs several at once")]
    OneNameAtOnce,
    #[error("{jobs} cells at once need {jobs} ports, but `ports` has only {ports}")]
    FewPorts { jobs: usize, ports: usize },
    #[error(transparent)]
    ClusterName(#[from] crate::cluster::ClusterNameError),
    #[error(transparent)]
    Prefix(#[from] crate::matrix::PrefixError),
    #[error(transparent)]
    Session(SessionError),
    #[error("failed to look for resources of dead runs")]
    Ledger(#[source] crate::machine::LedgerError),
    #[error("there is no run `{run}` in the current folder or in {}", out.display())]
    NoRun { run: String, out: PathBuf },
    #[error("there is no record in {}", folder.display())]
    NoRecord { folder: PathBuf },
    #[error("failed to look for runs in {}", folder.display())]
    RunsUnreadable { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    Resume(ResumeError),
    #[error("the matrix file has changed since the run {run} started")]
    MatrixChanged { run: String },
    #[error(
        "the run was started with the provider {provider}, and can't be resumed with another one"
    )]
    OtherProvider { provider: String },
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error("failed to write to the folder {}", folder.display())]
    Unwritten { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    Record(RecordError),
    #[error(transparent)]
    Reports(WriteError),
    #[error("failed to determine the path of this program")]
    Program(#[source] io::Error),
    #[error("failed to start the run")]
    Runtime(#[source] io::Error),
    #[error("failed to write {what}")]
    Write {
        what: &'static str,
        source: io::Error,
    },
}

impl CliError {
    /// An error that shows its own places.
    pub(super) fn report(report: impl Into<miette::Report>) -> Self {
        Self::Report(report.into())
    }

    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Report(_)
            | Self::NoMatrix { .. }
            | Self::MatrixUnreadable { .. }
            | Self::Timings { .. }
            | Self::NoCell { .. }
            | Self::RenamedVariable { .. }
            | Self::OneNameForMany { .. }
            | Self::OneNameAtOnce
            | Self::FewPorts { .. }
            | Self::ClusterName(_)
            | Self::NoRun { .. }
            | Self::NoRecord { .. }
            | Self::RunsUnreadable { .. }
            | Self::Merge(_)
            | Self::MatrixChanged { .. }
            | Self::OtherProvider { .. }
            | Self::Record(_)
            | Self::Prefix(_) => Exit::Configuration,
            Self::Session(error) if error.is_configuration() => Exit::Configuration,
            Self::Resume(error) if error.is_configuration() => Exit::Configuration,
            Self::Session(_)
            | Self::Resume(_)
            | Self::Ledger(_)
            | Self::CurrentFolder(_)
            | Self::Program(_)
            | Self::Reports(_)
            | Self::Runtime(_)
            | Self::Unwritten { .. }
            | Self::Write { .. } => Exit::Infrastructure,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoMatrix { .. } => {
                "give its path with `--matrix FILE`, or write one; the smallest is\n\n    [matrix]\n    kubernetes = [\"1.36\"]"
            }
            Self::NoCell {
                nearest: Some(nearest),
                ..
            } => {
                return Some(format!("did you mean `{nearest}`?"));
            }
            Self::NoCell { nearest: None, .. } => {
                "`e2e-matrix list` shows the id of each cell, and docs/troubleshooting.md lists all symptoms"
            }
            Self::OneNameForMany { .. } => {
                "select one cell with `--filter`, or set the prefix of all names with `--cluster-prefix`"
            }
            Self::OneNameAtOnce => {
                "run the repetitions one after another with `--jobs 1`, or set the prefix of all names with `--cluster-prefix`"
            }
            Self::FewPorts { .. } => "widen the range `ports` in `[run]`, or use fewer `--jobs`",
            Self::Timings { .. } => {
                "the file has to be a JSON object that maps cell ids to milliseconds, such as the `timings.json` of a run"
            }
            Self::NoRun { .. } => {
                "give the run's id, folder or record, and use `--output-dir DIR` if the runs are in another folder"
            }
            Self::MatrixChanged { .. } => {
                "use `--rerun-failed` to run the cells that did not pass, or start a new run"
            }
            Self::OtherProvider { .. } => "omit `--provider`, or start a new run",
            Self::Resume(ResumeError::Alive { .. }) => {
                "wait until the run ends, or end its process and try again"
            }
            Self::Resume(ResumeError::Foreign { .. }) => {
                "give the run's own folder; for merged runs and parts of runs, use `--rerun-failed`"
            }
            Self::Merge(MergeError::DuplicateCell { .. }) => {
                "list each run only once; if two runs contain the same cell, the later one has to be a rerun (`--rerun-failed`)"
            }
            Self::NoRecord { .. } => {
                "if the folder contains the parts of a run, combine them with `e2e-matrix merge`"
            }
            Self::Session(error) => return error.hint(),
            Self::Report(_)
            | Self::MatrixUnreadable { .. }
            | Self::RenamedVariable { .. }
            | Self::CurrentFolder(_)
            | Self::ClusterName(_)
            | Self::Prefix(_)
            | Self::Program(_)
            | Self::Record(_)
            | Self::Reports(_)
            | Self::RunsUnreadable { .. }
            | Self::Merge(_)
            | Self::Resume(_)
            | Self::Unwritten { .. }
            | Self::Runtime(_)
            | Self::Ledger(_)
            | Self::Write { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// Prints `error` on stderr: with `Error:`, `Caused by:` and `Hint:`, or with the places in the text.
pub(super) fn print(error: &CliError, color: Color) {
    let text = render(error, TerminalInfo::of(&io::stderr()).color(color.into()));
    // If stderr is closed, only the exit code remains.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

fn render(error: &CliError, colored: bool) -> String {
    let text = match error {
        CliError::Report(report) => graphical(report, colored),
        error => lines(error),
    };
    log_mask().apply(&text)
}

/// The same without colors.
pub(super) fn plain(error: &CliError) -> String {
    render(error, false)
}

fn graphical(report: &miette::Report, colored: bool) -> String {
    let theme = if colored {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    if handler.render_report(&mut text, report.as_ref()).is_err() {
        text = format!("Error: {report}\n");
    }
    text
}

fn lines(error: &CliError) -> String {
    let mut text = format!("Error: {error}\n");
    // Writing to a string can't fail.
    for cause in causes(error) {
        let cause = cause.to_string().replace('\n', "\n           ");
        let _ = writeln!(text, "Caused by: {cause}");
    }
    if let Some(hint) = error.hint() {
        let _ = writeln!(text, "Hint: {hint}");
    }
    text
}
