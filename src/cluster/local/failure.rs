//! Failures in the form that this provider uses.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::error::chain;
use crate::event::{Failure, Symptom};

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
