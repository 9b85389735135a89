//! Dead runs: runs whose lock the kernel has released.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{FILE, LOCK, LedgerContents, LedgerEntry, LedgerError, Payload, Resource};
use crate::error::chain;
use crate::machine::{Lock, StateFolder, if_exists, remove_tree};

/// A dead run.
#[derive(Debug)]
pub struct DeadRun {
    /// Its token.
    pub token: String,
    /// Its private folder.
    pub folder: PathBuf,
    /// The content of its ledger.
    pub contents: LedgerContents,
    /// When it last wrote to its ledger, or when its folder was created.
    pub last_seen: SystemTime,
    /// The time from `last_seen` until the ledger was read.
    pub age: Duration,
    _lock: Lock,
}

impl DeadRun {
    /// Reads the run whose private folder is `folder`; `None` if the run is alive.
    ///
    /// # Errors
    /// If the folder can't be read, or if its ledger doesn't belong to the run that the folder is named after.
    pub fn read(folder: PathBuf) -> Result<Option<Self>, LedgerError> {
        let Some(lock) = Lock::try_share_existing(&folder.join(LOCK))? else {
            return Ok(None);
        };
        let contents = LedgerContents::read(&folder)?;
        // The folder is ours if its ledger begins with the run's token, or if the folder is unfinished and contains
        // nothing else.
        let is_ours = match &contents.owner {
            Some(owner) => owner.run == token(&folder),
            None => is_unfinished(&folder).map_err(LedgerError::at(&folder))?,
        };
        if !is_ours {
            return Err(LedgerError::Foreign { folder });
        }
        let last_seen = modified(&folder.join(FILE)).or_else(|| modified(&folder));
        let last_seen = last_seen.unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Some(Self {
            token: token(&folder).to_owned(),
            age: last_seen.elapsed().unwrap_or_default(),
            last_seen,
            contents,
            folder,
            _lock: lock,
        }))
    }

    /// Records that `resource` is gone. Called for a run whose folder can't be deleted yet.
    pub fn gone(&self, resource: &Resource) -> Result<(), LedgerError> {
        let path = self.folder.join(FILE);
        let resource = resource.clone();
        let write = || {
            let entry = serde_json::to_string(&LedgerEntry::Gone { resource })?;
            let mut file = OpenOptions::new().append(true).open(&path)?;
            // The entry starts on a new line, because the last line may have been cut off. Readers ignore empty lines.
            file.write_all(format!("\n{entry}\n").as_bytes())?;
            // The file keeps the time at which the run itself last wrote to it.
            file.set_modified(self.last_seen)
        };
        write().map_err(LedgerError::at(&path))
    }

    /// Deletes the run's folder, with the ledger last: if this process dies halfway, the ledger still lists what may
    /// exist.
    pub fn forget(self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() == FILE || entry.file_name() == LOCK {
                continue;
            }
            if entry.file_type()?.is_dir() {
                remove_tree(&entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        for name in [FILE, LOCK] {
            if_exists(fs::remove_file(self.folder.join(name)))?;
        }
        fs::remove_dir(&self.folder)
    }
}

/// Whether the run with the token `run` has a ledger in `state` and is dead.
pub fn is_dead(state: &StateFolder, run: &str) -> Result<bool, LedgerError> {
    let lock = state.run(run).join(LOCK);
    Ok(Lock::try_share_existing(&lock)?.is_some())
}

/// All dead runs. Entries that can't be read are skipped; `gc` reports them.
pub fn read_dead(state: &StateFolder) -> Result<Vec<DeadRun>, LedgerError> {
    let read = |folder: PathBuf| {
        let shown = folder.display().to_string();
        DeadRun::read(folder).unwrap_or_else(|error| {
            tracing::debug!(folder = shown, error = chain(&error), "skipped a ledger");
            None
        })
    };
    Ok(folders(state)?.into_iter().filter_map(read).collect())
}

/// The resources that live runs claim. They are read again for each query, because a live run may claim more at any
/// time, and its claim always wins.
#[derive(Clone, Debug)]
pub struct LiveClaims {
    state: StateFolder,
    except: Option<String>,
}

impl LiveClaims {
    /// The claims of all live runs.
    pub fn of_all(state: &StateFolder) -> Self {
        Self {
            state: state.clone(),
            except: None,
        }
    }

    /// The claims of all live runs except `run`.
    pub fn except(state: &StateFolder, run: &str) -> Self {
        Self {
            except: Some(run.to_owned()),
            ..Self::of_all(state)
        }
    }

    /// The state folder of these runs.
    pub fn state(&self) -> &StateFolder {
        &self.state
    }

    /// The resources of one provider that live runs claim now.
    pub fn read<P: Payload>(&self) -> Result<Vec<P>, LedgerError> {
        let mut claims = Vec::new();
        for folder in folders(&self.state)? {
            let is_other = self.except.as_deref() != Some(token(&folder));
            if is_other && is_alive(&folder) {
                // The ledger of a run that has just ended is missing, and counts as empty.
                let contents = LedgerContents::read(&folder)?;
                claims.extend(contents.payloads().map(|(_, payload)| payload));
            }
        }
        Ok(claims)
    }
}

/// Whether a process holds the lock of the run whose private folder is `folder`.
pub fn is_alive(folder: &Path) -> bool {
    let lock = folder.join(LOCK);
    matches!(Lock::try_share_existing(&lock), Ok(None)) && lock.exists()
}

/// The private folders of all runs, sorted. Other entries in the same folder aren't ours and are left out.
pub fn folders(state: &StateFolder) -> Result<Vec<PathBuf>, LedgerError> {
    let runs = state.runs();
    let error = LedgerError::at(&runs);
    let mut folders = Vec::new();
    let entries = if_exists(fs::read_dir(&runs)).map_err(&error)?;
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(&error)?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && is_run(&entry.path()) {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// Whether a folder is named after a run's token and contains the run's lock. If the lock can't be checked, it counts
/// as present.
fn is_run(folder: &Path) -> bool {
    let token = token(folder);
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let lock = fs::symlink_metadata(folder.join(LOCK));
    let has_lock = !lock.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    !token.is_empty() && token.bytes().all(allowed) && has_lock
}

/// The token of the run whose private folder is `folder`. A leading dot means that the folder is unfinished.
fn token(folder: &Path) -> &str {
    let name = folder.file_name().and_then(OsStr::to_str);
    let name = name.unwrap_or_default();
    name.strip_prefix('.').unwrap_or(name)
}

/// Whether the run died before the first line of its ledger, or after its ledger was deleted.
fn is_unfinished(folder: &Path) -> io::Result<bool> {
    let is_hidden = folder
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name != LOCK && !(is_hidden && name == FILE) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).ok()?.modified().ok()
}
