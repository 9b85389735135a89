//! Constructors for this provider's failures.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::error::chain;
use crate::event::{Failure, Symptom};

/// A file or folder can't be accessed.
pub(super) fn filesystem(path: &Path, error: &io::Error) -> Failure {
    let message = format!("failed to access {}: {}", path.display(), chain(error));
    Failure::new(Symptom::FilesystemFailed, message)
}

/// A container can't be created from its specification.
pub(super) fn container(reason: impl Display) -> Failure {
    Failure::new(
        Symptom::ContainerConfig,
        format!("the container can't be created from its specification: {reason}"),
    )
}
