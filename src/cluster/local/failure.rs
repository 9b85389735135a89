//! Failures and evidence in the shapes that this provider says them in.

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

/// A file or folder of the cell that can't be used.
pub(super) fn filesystem(path: &Path, error: &io::Error) -> Failure {
    let message = format!("failed to use {}: {}", path.display(), chain(error));
    Failure::new(Symptom::FilesystemFailed, message)
}

/// A container that can't be made from its description.
pub(super) fn container(what: impl Display) -> Failure {
    Failure::new(
        Symptom::ContainerConfig,
        format!("the container can't be made from its description: {what}"),
    )
}
