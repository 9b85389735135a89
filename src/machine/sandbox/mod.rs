//! Runs a program in its own mount, UTS and process-id namespaces, without any capability, and with the host's file
//! system read-only.
//!
//! The runner's own binary sets up the sandbox in two steps: the runner starts it as [`outside()`], which starts it
//! again as [`inside()`]. Only a process with a single thread can change its namespaces, and only a child process can
//! be the first process in a new process-id namespace.

mod inside;
mod outside;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use inside::inside;
pub use outside::outside;

/// The description of a program and its sandbox. It is passed as JSON on standard input.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sandbox {
    /// The host name.
    pub host_name: String,
    /// The texts of files that replace the host's files, by path.
    pub files: BTreeMap<PathBuf, String>,
    /// Files and folders of the host that are visible at other paths.
    pub mounts: Vec<Mount>,
    /// An empty folder of the host for the root file system.
    pub root: PathBuf,
    /// Whether only `mounts` are writable.
    pub read_only: bool,
    /// The program's path on the host. In the sandbox, it has the same path with all links resolved.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its working directory.
    pub folder: PathBuf,
}

/// A file or folder of the host that is visible at another path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// The folder of the host that contains it. Links in `source` are resolved as if this were the root folder.
    pub root: PathBuf,
    /// Its path in `root`.
    pub source: PathBuf,
    /// Its path in the sandbox.
    pub target: PathBuf,
    /// Whether it is read-only.
    pub read_only: bool,
}

impl Sandbox {
    /// Fills the root folder with links instead of mounts, for the reference programs, which resolve every path below
    /// it (`PLEXD_ROOT`).
    pub fn link(&self) -> io::Result<()> {
        let place = |path: &Path| {
            let place = self.root.join(path.strip_prefix("/").unwrap_or(path));
            place.parent().map_or(Ok(()), fs::create_dir_all)?;
            io::Result::Ok(place)
        };
        for (path, text) in &self.files {
            fs::write(place(path)?, text)?;
        }
        for mount in &self.mounts {
            match symlink(mount.root.join(&mount.source), place(&mount.target)?) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            }
        }
        Ok(())
    }
}

/// Setting up a sandbox failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action}: {source}")]
struct SetupError {
    action: String,
    source: io::Error,
}

/// Adds the action that failed to an error.
trait Context<T> {
    fn context(self, action: impl fmt::Display) -> Result<T, SetupError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: impl fmt::Display) -> Result<T, SetupError> {
        self.map_err(|error| SetupError {
            action: action.to_string(),
            source: error.into(),
        })
    }
}
