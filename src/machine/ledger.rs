//! The ledger of a run: a line before each resource is made, and one when it is gone.
//!
//! Whoever finds the ledger of a dead run knows everything that it can have left behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::{Lock, LockError, StateFolder, private_folder};

/// Something that a run makes outside its own process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Resource {
    /// A kind cluster, by its name.
    KindCluster {
        /// The cluster's name.
        name: String,
    },
    /// Processes, by the value of [`super::marked::MARK`] in their environment.
    Processes {
        /// The value.
        mark: String,
    },
    /// A folder.
    Folder {
        /// Its path.
        path: PathBuf,
    },
    /// A listening port on loopback.
    Port {
        /// Its number.
        port: u16,
    },
    /// A container network.
    Network {
        /// Its name.
        name: String,
    },
}

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum LedgerEntry {
    /// It is about to be made.
    Planned {
        /// What.
        resource: Resource,
    },
    /// It was proven gone.
    Gone {
        /// What.
        resource: Resource,
    },
}

/// A ledger that can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Its file can't be written or read.
    #[error("failed to keep the ledger {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its lock can't be had.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// The open ledger of a live run. While it lives, the run counts as alive.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    file: Mutex<File>,
    _lock: Lock,
}

const FILE: &str = "ledger.ndjson";
const LOCK: &str = "lock";

impl Ledger {
    /// Opens the ledger of a new run, and takes the lock that says it is alive.
    pub fn open(state: &StateFolder, run: &str) -> Result<Self, LedgerError> {
        let folder = state.run(run);
        let path = folder.join(FILE);
        let error = |source| LedgerError::Io {
            path: path.clone(),
            source,
        };
        private_folder(&folder).map_err(error)?;
        let lock = Lock::try_take(&folder.join(LOCK))?
            .ok_or_else(|| error(io::Error::other("another run has the same token")))?;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(error)?;
        Ok(Self {
            folder,
            file: Mutex::new(file),
            _lock: lock,
        })
    }

    /// The run's private folder, for kubeconfigs and the like.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes down that `resource` is about to be made.
    pub fn plan(&self, resource: Resource) -> Result<(), LedgerError> {
        self.write(&LedgerEntry::Planned { resource })
    }

    /// Writes down that `resource` was proven gone.
    pub fn gone(&self, resource: Resource) -> Result<(), LedgerError> {
        self.write(&LedgerEntry::Gone { resource })
    }

    fn write(&self, entry: &LedgerEntry) -> Result<(), LedgerError> {
        let error = |source| LedgerError::Io {
            path: self.folder.join(FILE),
            source,
        };
        let mut line = serde_json::to_vec(entry).map_err(|source| error(source.into()))?;
        line.push(b'\n');
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(&line).map_err(error)
    }

    /// Ends a run that left nothing: its folder, and with it its ledger, goes. A run that left something keeps both.
    pub fn close(self) -> Result<(), LedgerError> {
        if !outstanding(&self.folder)?.is_empty() {
            return Ok(());
        }
        fs::remove_dir_all(&self.folder).map_err(|source| LedgerError::Io {
            path: self.folder.clone(),
            source,
        })
    }
}

/// What the ledger in `folder` planned and did not prove gone, in the order it was planned. A torn last line is not counted:
/// what it would have announced was not made yet.
pub fn outstanding(folder: &Path) -> Result<Vec<Resource>, LedgerError> {
    let path = folder.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LedgerError::Io { path, source }),
    };
    let mut left: Vec<Resource> = Vec::new();
    for entry in text
        .lines()
        .map_while(|line| serde_json::from_str(line).ok())
    {
        match entry {
            LedgerEntry::Planned { resource } => left.push(resource),
            LedgerEntry::Gone { resource } => left.retain(|other| *other != resource),
        }
    }
    Ok(left)
}

/// Whether the run whose token is `run` has a ledger here and is dead.
pub fn is_dead(state: &StateFolder, run: &str) -> Result<bool, LedgerError> {
    let folder = state.run(run);
    if !folder.join(FILE).exists() {
        return Ok(false);
    }
    Ok(Lock::try_take(&folder.join(LOCK))?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> Resource {
        Resource::KindCluster {
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_ledger_knows_what_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = Ledger::open(&state, "abcde").unwrap();
        ledger.plan(cluster("one")).unwrap();
        ledger.plan(cluster("two")).unwrap();
        ledger.gone(cluster("one")).unwrap();
        assert!(!is_dead(&state, "abcde").unwrap());
        ledger.close().unwrap();
        assert!(is_dead(&state, "abcde").unwrap());
        assert_eq!(outstanding(&state.run("abcde")).unwrap(), [cluster("two")]);
    }

    #[test]
    fn a_run_that_left_nothing_leaves_no_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = Ledger::open(&state, "abcde").unwrap();
        ledger.plan(cluster("one")).unwrap();
        ledger.gone(cluster("one")).unwrap();
        ledger.close().unwrap();
        assert!(!state.run("abcde").exists());
        assert!(
            !is_dead(&state, "abcde").unwrap(),
            "unknown runs are not dead ones"
        );
    }

    #[test]
    fn a_torn_line_announced_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = Ledger::open(&state, "abcde").unwrap();
        ledger.plan(cluster("one")).unwrap();
        let path = ledger.folder().join(FILE);
        OpenOptions::new()
            .append(true)
            .open(path)
            .unwrap()
            .write_all(b"{\"state\":\"pl")
            .unwrap();
        assert_eq!(outstanding(ledger.folder()).unwrap(), [cluster("one")]);
    }
}
