//! Locks between processes that the kernel drops with their holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::private_folder;

/// A held lock. Dropping it, or dying, lets the next one have it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A lock that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("failed to lock {}", path.display())]
pub struct LockError {
    /// The lock file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Lock {
    /// Takes the lock at `path` where nobody holds it; none where somebody does.
    pub fn try_take(path: &Path) -> Result<Option<Self>, LockError> {
        let error = |source| LockError {
            path: path.to_owned(),
            source,
        };
        let file = open(path).map_err(error)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(error(source)),
        }
    }

    /// Takes the lock at `path`, after everybody before. Dropping the future gives the place up.
    pub async fn take(path: &Path) -> Result<Self, LockError> {
        let owned = path.to_owned();
        let error = move |source| LockError {
            path: owned,
            source,
        };
        let file = open(path).map_err(error.clone())?;
        // A thread, because the kernel's wait can't be awaited; it ends with the process if nobody waits any more.
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
        let file = locked.map_err(io::Error::other).and_then(|result| result);
        file.map(|file| Self { _file: file }).map_err(error)
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/one");
        let first = Lock::try_take(&path).unwrap().expect("nobody holds it");
        assert!(Lock::try_take(&path).unwrap().is_none());
        let second = tokio::spawn({
            let path = path.clone();
            async move { Lock::take(&path).await }
        });
        drop(first);
        second.await.unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_some());
    }
}
