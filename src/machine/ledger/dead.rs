//! Dead runs: those whose lock the kernel has dropped.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{FILE, LOCK, LedgerContents, LedgerEntry, LedgerError, Resource};
use crate::machine::{Lock, StateFolder};

/// How old a run's folder without a lock is before nobody is in the middle of making it.
const UNFINISHED: Duration = Duration::from_secs(60);

/// A dead run. As long as this lives, nobody else takes it for dead.
#[derive(Debug)]
pub struct DeadRun {
    /// Its token, or the name of a folder that never got one.
    pub token: String,
    /// Its private folder.
    pub folder: PathBuf,
    /// What its ledger says.
    pub contents: LedgerContents,
    /// When it last wrote to its ledger, or its folder was made.
    pub last_seen: SystemTime,
    /// How long ago that was when it was claimed.
    pub age: Duration,
    _lock: Option<Lock>,
}

impl DeadRun {
    /// Claims the run whose private folder is `folder`; none where it lives, or is claimed already.
    pub fn claim(folder: PathBuf) -> Result<Option<Self>, LedgerError> {
        let lock = folder.join(LOCK);
        let lock = match Lock::try_take_existing(&lock)? {
            Some(lock) => Some(lock),
            None if !exists(&lock) && is_abandoned(&folder) => None,
            None => return Ok(None),
        };
        let contents = LedgerContents::read(&folder)?;
        let last_seen = modified(&folder.join(FILE)).or_else(|| modified(&folder));
        let last_seen = last_seen.unwrap_or(SystemTime::UNIX_EPOCH);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Ok(Some(Self {
            token: name.into_owned(),
            age: last_seen.elapsed().unwrap_or_default(),
            last_seen,
            contents,
            folder,
            _lock: lock,
        }))
    }

    /// Writes down that `resource` was proven gone, for a run that can't be forgotten yet.
    pub fn gone(&self, resource: &Resource) -> Result<(), LedgerError> {
        let path = self.folder.join(FILE);
        let resource = resource.clone();
        let write = || {
            let entry = serde_json::to_string(&LedgerEntry::Gone { resource })?;
            let mut file = OpenOptions::new().append(true).open(&path)?;
            // The last line may be a torn one; an empty one says nothing.
            file.write_all(format!("\n{entry}\n").as_bytes())?;
            // It was not the run who wrote this.
            file.set_modified(self.last_seen)
        };
        write().map_err(|source| LedgerError::Io {
            path: path.clone(),
            source,
        })
    }

    /// Removes its folder, its ledger last: whoever dies on the way has not forgotten what was there.
    pub fn forget(self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() == FILE || entry.file_name() == LOCK {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        fs::remove_dir_all(&self.folder)
    }
}

/// Whether the run whose token is `run` has a ledger here and is dead.
pub fn is_dead(state: &StateFolder, run: &str) -> Result<bool, LedgerError> {
    let lock = state.run(run).join(LOCK);
    Ok(Lock::try_share_existing(&lock)?.is_some())
}

/// What the ledgers of dead runs say, each with its run's token. Claims nothing: for a look.
pub fn read_dead(state: &StateFolder) -> Result<Vec<(String, LedgerContents)>, LedgerError> {
    let mut found = Vec::new();
    for folder in folders(state)? {
        if Lock::try_share_existing(&folder.join(LOCK))?.is_some() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            found.push((name.into_owned(), LedgerContents::read(&folder)?));
        }
    }
    Ok(found)
}

/// The private folders of all runs, those that were never finished included, in their order.
pub fn folders(state: &StateFolder) -> Result<Vec<PathBuf>, LedgerError> {
    let runs = state.runs();
    let mut folders = Vec::new();
    let entries = match fs::read_dir(&runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(folders),
        Err(source) => return Err(LedgerError::Io { path: runs, source }),
    };
    for entry in entries {
        match entry {
            Ok(entry) => folders.push(entry.path()),
            Err(source) => return Err(LedgerError::Io { path: runs, source }),
        }
    }
    folders.sort();
    Ok(folders)
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A folder without a lock: its maker is about to take it, or died before.
fn is_abandoned(folder: &Path) -> bool {
    let age = modified(folder).and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > UNFINISHED)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).ok()?.modified().ok()
}
