//! Failures and evidence in the form that this provider uses.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::error::chain;
use crate::event::{Evidence, Failure, Symptom};

/// A row of evidence that concerns the cell.
pub(super) fn row(
    subject: impl Into<String>,
    expected: &(impl Display + ?Sized),
    seen: &(impl Display + ?Sized),
    holds: bool,
) -> Evidence {
    Evidence {
        node: None,
        subject: subject.into(),
        expected: expected.to_string(),
        seen: seen.to_string(),
        holds,
    }
}

/// The failure of a file or folder that can't be used.
pub(super) fn filesystem(path: &Path, error: &io::Error) -> Failure {
    let message = format!("failed to use {}: {}", path.display(), chain(error));
    Failure::new(Symptom::FilesystemFailed, message)
}

/// The failure of a container that can't be created from its specification.
pub(super) fn container(what: impl Display) -> Failure {
    Failure::new(
        Symptom::ContainerConfig,
        format!("the container can't be made from its description: {what}"),
    )
}
