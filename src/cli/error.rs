//! Errors that end a command before it has done its work, with their output and exit codes.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::exit::Exit;
use super::options::ColorChoice;
use crate::error::causes;
use crate::event::FailureClass;
use crate::record::RecordError;
use crate::record::merge::MergeError;
use crate::record::xml_text::clean;
use crate::report::{TerminalInfo, WriteError};
use crate::runner::{ResumeError, SessionError};
use crate::secret::log_mask;

/// An error that ends a command before it has done its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// An error that shows the places in the input that caused it.
    #[error("the input can't be used")]
    Report(miette::Report),
    /// An argument, a file or a run that can't be used, and what to do about it.
    #[error("{message}")]
    Rejected {
        message: String,
        source: Option<io::Error>,
        hint: String,
    },
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("failed to look for resources of dead runs")]
    Ledger(#[from] crate::machine::LedgerError),
    #[error("there is no record in {}", folder.display())]
    NoRecord { folder: PathBuf },
    #[error(transparent)]
    Resume(#[from] ResumeError),
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Reports(#[from] WriteError),
    /// A system operation that failed, such as writing to a folder.
    #[error("failed to {what}")]
    Io { what: String, source: io::Error },
}

impl CliError {
    /// An error that shows the places in the input that caused it.
    pub(super) fn report(report: impl Into<miette::Report>) -> Self {
        Self::Report(report.into())
    }

    /// An error that the user can fix, with a hint that says how.
    pub(super) fn rejected(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Rejected {
            message: message.into(),
            source: None,
            hint: hint.into(),
        }
    }

    /// Turns a cause into the error for a user's file or folder that can't be read: "failed to `what`".
    pub(super) fn unreadable(what: String) -> impl Fn(io::Error) -> Self {
        move |source| Self::Rejected {
            message: format!("failed to {what}"),
            source: Some(source),
            hint: "check the path and its permissions".to_owned(),
        }
    }

    /// Turns a cause into the error "failed to `what`".
    pub(super) fn io(what: impl Into<String>) -> impl Fn(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io {
            what: what.clone(),
            source,
        }
    }

    /// Turns a cause into the error for a `folder` that can't be written to.
    pub(super) fn unwritten(folder: &Path) -> impl Fn(io::Error) -> Self {
        Self::io(format!("write to the folder {}", folder.display()))
    }

    /// The class, which determines the exit code.
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::Report(_)
            | Self::Rejected { .. }
            | Self::NoRecord { .. }
            | Self::Merge(_)
            | Self::Record(_) => FailureClass::Configuration,
            Self::Session(error) if error.is_configuration() => FailureClass::Configuration,
            Self::Resume(error) if error.is_configuration() => FailureClass::Configuration,
            Self::Session(_)
            | Self::Resume(_)
            | Self::Ledger(_)
            | Self::Reports(_)
            | Self::Io { .. } => FailureClass::Infrastructure,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Rejected { hint, .. } => hint.as_str(),
            Self::Session(error) => return error.hint(),
            Self::NoRecord { .. } => {
                "if the folder contains the parts of a run, combine them with `e2e-matrix merge`"
            }
            Self::Resume(ResumeError::Alive { .. }) => {
                "wait until the run ends, or end its process and try again"
            }
            Self::Resume(ResumeError::Foreign { .. }) => {
                "give the run's own folder; for merged runs and parts of runs, use `--rerun-failed`"
            }
            Self::Merge(MergeError::DuplicateCell { .. }) => {
                "list each run only once; if two runs contain the same cell, the later one has to be a rerun (`--rerun-failed`)"
            }
            Self::Merge(MergeError::NoRuns { .. }) => {
                "give the folder of a run, or a folder that contains runs"
            }
            Self::Merge(MergeError::Providers { .. }) => "merge only runs with the same provider",
            Self::Record(RecordError::Newer { .. })
            | Self::Resume(ResumeError::Record(RecordError::Newer { .. }))
            | Self::Merge(MergeError::Record(RecordError::Newer { .. })) => {
                "use the version of e2e-matrix that wrote the record, or a newer one"
            }
            Self::Report(_)
            | Self::Ledger(_)
            | Self::Resume(_)
            | Self::Merge(_)
            | Self::Record(_)
            | Self::Reports(_)
            | Self::Io { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// Prints `error` on stderr: as lines that start with `Error:`, `Caused by:` and `hint:`, or with the places in the
/// input that caused it. Returns the exit code.
pub(super) fn print(error: &CliError, color: ColorChoice) -> Exit {
    let text = text(error, color.on(TerminalInfo::of(&io::stderr())));
    // If stderr is closed, only the exit code reports the error.
    drop(io::stderr().lock().write_all(text.as_bytes()));
    error.class().into()
}

/// `error` as it is printed.
pub(super) fn text(error: &CliError, colored: bool) -> String {
    let text = match error {
        CliError::Report(report) => graphical(report, colored),
        error => lines(error),
    };
    log_mask().apply(&text)
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
        let _ = writeln!(text, "hint: {hint}");
    }
    // Errors about a record may quote its text, which could control the terminal.
    clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_cannot_control_the_terminal() {
        let error = CliError::rejected("unknown variant `\u{1B}[2J`", "fix it");
        let expected = "Error: unknown variant ``\nhint: fix it\n";
        assert_eq!(text(&error, true), expected);
    }
}
