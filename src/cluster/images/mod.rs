//! The images of the agent and the mock: their names, their content, and the archives that are streamed into nodes.
//!
//! An image's name is derived from its content. Therefore, the name is known before anything is created, and two
//! checkouts never use the same name for different images. This module knows nothing about clusters.

mod archive;
mod connect;
mod context;
mod elf;
mod engine;
mod name;
mod rootfs;

use std::path::Path;

pub(crate) use archive::remove_unused;
pub use archive::{Archive, ArchivedImage};
pub use connect::connect;
pub(crate) use connect::host;
pub(crate) use engine::absent_is_none;
pub use engine::{ensure, pull};
pub use name::{ImageNames, image_names};

use crate::event::{Failure, Symptom};

/// The label on every image that the runner creates. Its value is the image's role.
pub const LABEL: &str = "e2e-matrix.image";

/// The name of the lock for creating images and archives.
pub(crate) const LOCK: &str = "images";

/// The two programs that have images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Agent,
    Mock,
}

impl Role {
    /// The program's name in image names and labels.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Mock => "mock",
        }
    }

    /// The runner's subcommand for this program.
    const fn subcommand(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Mock => "mockapi",
        }
    }
}

/// The failure if a file can't be read or written.
fn inaccessible(path: &Path, error: impl std::fmt::Display) -> Failure {
    let path = path.display();
    let message = format!("failed to create an image: can't access {path}: {error}");
    Failure::new(Symptom::ImageBuildFailed, message)
}
