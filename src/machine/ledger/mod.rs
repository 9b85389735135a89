//! The ledger of a run. It gets one line before each resource is created, and another line when the resource is gone.
//!
//! The ledger of a dead run lists everything that the run may have left behind.

mod contents;
mod dead;
mod resource;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::{Lock, LockError, StateFolder};

pub use contents::{LedgerContents, Left, outstanding};
pub use dead::{DeadRun, LiveClaims, folders, is_alive, is_dead, read_dead};
pub use resource::{HostResource, LedgerEntry, Owner, Payload, Resource};

/// A ledger can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file can't be written or read.
    #[error("failed to read or write the ledger {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The first line doesn't name the run that the folder is named after, so another version probably wrote the
    /// ledger.
    #[error(
        "the ledger does not have the format of this version: {}",
        manual_cleanup(folder)
    )]
    Foreign {
        /// The folder that contains it.
        folder: PathBuf,
    },
    /// The lock can't be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl LedgerError {
    /// An error that concerns `path`.
    fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// What to do if this version can't read the ledger in `folder`, or a part of it.
pub fn manual_cleanup(folder: &Path) -> String {
    format!(
        "run `gc` with the version that wrote {}, or delete the resources that it lists and then the folder {} yourself",
        folder.join(FILE).display(),
        folder.display()
    )
}

/// The open ledger of a live run. As long as this value exists, the run counts as alive.
#[derive(Debug)]
pub struct Ledger {
    owner: Owner,
    folder: PathBuf,
    file: Mutex<Page>,
    _lock: Lock,
}

/// The file, and whether its last line is incomplete.
#[derive(Debug)]
struct Page {
    file: File,
    is_torn: bool,
}

const FILE: &str = "ledger.ndjson";
const LOCK: &str = "lock";

impl Ledger {
    /// Opens the ledger of a new run and takes the lock that marks the run as alive.
    pub fn open(state: &StateFolder, owner: Owner) -> Result<Self, LedgerError> {
        let folder = state.run(&owner.run);
        // The folder gets its final name only after the lock is held and the first line is written.
        let unfinished = state.runs().join(format!(".{}", owner.run));
        let path = folder.join(FILE);
        let error = LedgerError::at(&path);
        let lock = Lock::create(&unfinished.join(LOCK))?
            .ok_or_else(|| error(io::Error::other("another run has the same token")))?;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(unfinished.join(FILE))
            .map_err(&error)?;
        let page = Page {
            file,
            is_torn: false,
        };
        let ledger = Self {
            owner: owner.clone(),
            folder: folder.clone(),
            file: Mutex::new(page),
            _lock: lock,
        };
        ledger.write(Ok(LedgerEntry::Began { owner }))?;
        fs::rename(&unfinished, &folder).map_err(error)?;
        Ok(ledger)
    }

    /// The run's private folder, for kubeconfigs and similar files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The token that distinguishes the run's resources from those of other runs.
    pub fn run(&self) -> &str {
        &self.owner.run
    }

    /// Records that a resource is about to be created, or adds what is known about a resource that was planned before.
    pub fn plan<P: Payload>(&self, payload: &P) -> Result<(), LedgerError> {
        self.write(Resource::new(payload).map(|resource| LedgerEntry::Planned { resource }))
    }

    /// Records that a resource is kept on purpose, with the `commands` to inspect it.
    pub fn keep<P: Payload>(&self, payload: &P, commands: Vec<String>) -> Result<(), LedgerError> {
        let resource = Resource::new(payload);
        self.write(resource.map(|resource| LedgerEntry::Kept { resource, commands }))
    }

    /// Records that a resource is gone. The caller has verified this.
    pub fn gone<P: Payload>(&self, payload: &P) -> Result<(), LedgerError> {
        let resource = Resource::named(payload);
        self.write(Ok(LedgerEntry::Gone { resource }))
    }

    fn write(&self, entry: serde_json::Result<LedgerEntry>) -> Result<(), LedgerError> {
        let line = entry.and_then(|entry| serde_json::to_vec(&entry));
        let mut page = self.file.lock();
        let written = line
            .map_err(io::Error::from)
            .and_then(|line| page.write(line));
        written.map_err(LedgerError::at(&self.folder.join(FILE)))
    }

    /// Ends the run. If nothing is left, the folder and the ledger in it are deleted. Otherwise both stay, and the
    /// remaining resources are returned.
    pub fn close(self) -> Result<Vec<Left>, LedgerError> {
        let contents = LedgerContents::read(&self.folder)?;
        if !contents.is_settled() {
            return Ok(contents.left);
        }
        fs::remove_dir_all(&self.folder).map_err(LedgerError::at(&self.folder))?;
        // This fails if the folder contains other runs, and then the folder stays.
        if let Some(runs) = self.folder.parent() {
            drop(fs::remove_dir(runs));
        }
        Ok(Vec::new())
    }
}

impl Page {
    /// Appends `line`. If the previous line is incomplete, starts a new line first, so that `line` is readable.
    fn write(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        if self.is_torn {
            line.insert(0, b'\n');
        }
        line.push(b'\n');
        let written = self.file.write_all(&line);
        self.is_torn = written.is_err();
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::private_folder;

    fn marked(mark: &str) -> HostResource {
        let mark = mark.to_owned();
        HostResource::Processes { mark }
    }

    fn resource(mark: &str) -> Resource {
        Resource::new(&marked(mark)).unwrap()
    }

    fn open(state: &StateFolder) -> Ledger {
        Ledger::open(state, Owner::new("abcde", "out")).unwrap()
    }

    #[test]
    fn a_ledger_lists_the_remaining_resources() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = open(&state);
        ledger.plan(&marked("one")).unwrap();
        ledger.plan(&marked("two")).unwrap();
        ledger.gone(&marked("one")).unwrap();
        assert!(!is_dead(&state, "abcde").unwrap());
        assert!(DeadRun::read(state.run("abcde")).unwrap().is_none());
        ledger.close().unwrap();
        assert!(is_dead(&state, "abcde").unwrap());
        assert_eq!(outstanding(&state.run("abcde")).unwrap(), [resource("two")]);
    }

    #[test]
    fn a_run_without_leftovers_removes_its_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path().join("state"));
        let ledger = open(&state);
        ledger.plan(&marked("one")).unwrap();
        ledger.gone(&marked("one")).unwrap();
        assert!(ledger.close().unwrap().is_empty());
        assert!(!state.runs().exists());
        let unknown = is_dead(&state, "abcde").unwrap();
        assert!(!unknown, "unknown runs are not dead ones");
    }

    #[test]
    fn kept_resources_are_distinguished_from_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = open(&state);
        ledger.plan(&marked("one")).unwrap();
        let commands = vec!["inspect it".to_owned()];
        ledger.keep(&marked("one"), commands.clone()).unwrap();
        let left = ledger.close().unwrap();
        let kept = Left {
            resource: resource("one"),
            kept: Some(commands),
        };
        assert_eq!(left, [kept]);
    }

    #[test]
    fn a_dead_run_is_forgotten_completely() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = open(&state);
        private_folder(&ledger.folder().join("cells/one")).unwrap();
        drop(ledger);
        let dead = DeadRun::read(state.run("abcde")).unwrap().unwrap();
        assert_eq!(dead.contents.owner.as_ref().unwrap().run, "abcde");
        dead.forget().unwrap();
        assert!(!state.run("abcde").exists());
    }

    #[test]
    fn a_run_that_died_before_its_first_line_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let unfinished = state.runs().join(".fresh");
        drop(Lock::try_take(&unfinished.join(LOCK)).unwrap());
        assert_eq!(folders(&state).unwrap(), std::slice::from_ref(&unfinished));
        let dead = DeadRun::read(unfinished.clone()).unwrap().unwrap();
        dead.forget().unwrap();
        assert!(!unfinished.exists());
    }

    #[test]
    fn other_entries_are_ignored_and_a_folder_that_only_resembles_a_run_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let runs = state.runs();
        for name in ["lost+found", "mine", ".cache"] {
            private_folder(&runs.join(name)).unwrap();
        }
        fs::write(runs.join("abcde"), "a file").unwrap();
        assert_eq!(folders(&state).unwrap(), [] as [PathBuf; 0]);
        let alike = runs.join("fghij");
        private_folder(&alike).unwrap();
        fs::write(alike.join(LOCK), "").unwrap();
        fs::write(alike.join("letter"), "dear me").unwrap();
        assert_eq!(folders(&state).unwrap(), std::slice::from_ref(&alike));
        let error = DeadRun::read(alike.clone()).unwrap_err();
        assert!(matches!(error, LedgerError::Foreign { .. }), "{error}");
        for ledger in [&b"\xff\xfe"[..], b"{}\n", b"garbage\n"] {
            fs::write(alike.join(FILE), ledger).unwrap();
            DeadRun::read(alike.clone()).unwrap_err();
        }
        assert!(read_dead(&state).unwrap().is_empty());
    }

    #[test]
    fn only_live_runs_have_claims() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = open(&state);
        ledger.plan(&marked("one")).unwrap();
        let claims = || LiveClaims::of_all(&state).read::<HostResource>().unwrap();
        assert_eq!(claims(), [marked("one")]);
        let others = LiveClaims::except(&state, "abcde");
        assert_eq!(others.read::<HostResource>().unwrap(), []);
        drop(ledger);
        let dead = read_dead(&state).unwrap();
        assert_eq!(claims(), [], "checking a dead run does not revive it");
        assert_eq!(dead.len(), 1);
    }
}
