//! Locks between processes that the kernel drops with their holder.
//!
//! A lock file may be removed by who holds it alone: whoever then gets the lock of a file that is no longer there takes the next one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::state::is_lock_name;
use super::{StateFolder, private_folder};

/// A held lock. Dropping it, or dying, lets the next one have it.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
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

/// With whom a lock can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    /// With nobody.
    Alone,
    /// With others who share it.
    Shared,
}

/// How often a folder that is removed behind our back is made anew.
const ATTEMPTS: usize = 100;

impl Lock {
    /// Takes the lock at `path` where nobody holds it; none where somebody does.
    pub fn try_take(path: &Path) -> Result<Option<Self>, LockError> {
        Self::attempt(path, Company::Alone, open)
    }

    /// Creates the lock at `path`, which is held from the moment that others can see it; none if there is one already.
    ///
    /// [`Lock::try_take`] would show a file that isn't locked yet, and fail if another process looked at it in that moment.
    pub fn create(path: &Path) -> Result<Option<Self>, LockError> {
        let hidden = path.with_extension("new");
        let create = || {
            let file = open(&hidden)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(source),
            }
            let linked = fs::hard_link(&hidden, path);
            fs::remove_file(&hidden)?;
            match linked {
                Ok(()) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
                Err(error) => Err(error),
            }
        };
        Self::at(path, create())
    }

    /// Like [`Lock::try_take`], but makes no file: none where there is none, either.
    pub fn try_take_existing(path: &Path) -> Result<Option<Self>, LockError> {
        Self::absent_is_none(Self::attempt(path, Company::Alone, open_existing))
    }

    /// Like [`Lock::try_take_existing`], but others may have it so at the same time: for a look at whether anybody holds it.
    pub fn try_share_existing(path: &Path) -> Result<Option<Self>, LockError> {
        Self::absent_is_none(Self::attempt(path, Company::Shared, open_existing))
    }

    /// Takes the lock at `path`, after everybody before. Dropping the future gives the place up.
    pub async fn take(path: &Path) -> Result<Self, LockError> {
        Self::wait(path, Company::Alone).await
    }

    /// Takes the lock at `path`, or fails after `limit`: for locks that others hold for a moment only, unless they hang.
    pub async fn take_within(path: &Path, limit: Duration) -> Result<Self, LockError> {
        let taken = tokio::time::timeout(limit, Self::take(path)).await;
        taken.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            let message =
                format!("another process holds it, and has not let it go for {seconds} s");
            Err(LockError {
                path: path.to_owned(),
                source: io::Error::new(io::ErrorKind::TimedOut, message),
            })
        })
    }

    /// Takes the lock at `path` together with everybody who shares it, after whoever has it alone. Dropping the future gives the
    /// place up.
    pub async fn share(path: &Path) -> Result<Self, LockError> {
        Self::wait(path, Company::Shared).await
    }

    /// Removes the lock file, which nobody else holds, and lets the lock go.
    pub fn remove(self) -> Result<(), LockError> {
        let removed = fs::remove_file(&self.path);
        removed.map_err(|source| LockError {
            path: self.path.clone(),
            source,
        })
    }

    fn attempt(
        path: &Path,
        company: Company,
        open: fn(&Path) -> io::Result<File>,
    ) -> Result<Option<Self>, LockError> {
        let attempt = || loop {
            let file = open(path)?;
            let locked = match company {
                Company::Alone => file.try_lock(),
                Company::Shared => file.try_lock_shared(),
            };
            match locked {
                Ok(()) if is_at(&file, path)? => return Ok(Some(file)),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(source),
            }
        };
        Self::at(path, attempt())
    }

    /// The lock whose file at `path` is held open, if it could be had.
    fn at(path: &Path, file: io::Result<Option<File>>) -> Result<Option<Self>, LockError> {
        let path = path.to_owned();
        match file {
            Ok(file) => Ok(file.map(|file| Self { path, _file: file })),
            Err(source) => Err(LockError { path, source }),
        }
    }

    async fn wait(path: &Path, company: Company) -> Result<Self, LockError> {
        let path = path.to_owned();
        let waiting = path.clone();
        // A thread, because the kernel's wait can't be awaited; it ends with the process if nobody waits any more.
        let locked = tokio::task::spawn_blocking(move || {
            loop {
                let file = open(&waiting)?;
                match company {
                    Company::Alone => file.lock()?,
                    Company::Shared => file.lock_shared()?,
                }
                if is_at(&file, &waiting)? {
                    return Ok(file);
                }
            }
        });
        let file = locked
            .await
            .map_err(io::Error::other)
            .and_then(|result| result);
        match file {
            Ok(file) => Ok(Self { path, _file: file }),
            Err(source) => Err(LockError { path, source }),
        }
    }

    fn absent_is_none(result: Result<Option<Self>, LockError>) -> Result<Option<Self>, LockError> {
        match result {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other,
        }
    }
}

/// Removes the lock files of `state` that no process holds; then their folder, if it is empty.
///
/// A lock file is an empty regular file with a name that [`StateFolder::lock`] gives. Anything else is not ours and stays.
pub fn tidy(state: &StateFolder) -> Result<(), LockError> {
    let folder = state.locks();
    let error = |source| LockError {
        path: folder.clone(),
        source,
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(error(source)),
    };
    for entry in entries {
        let entry = entry.map_err(error)?;
        let is_empty = |metadata: fs::Metadata| metadata.is_file() && metadata.len() == 0;
        let is_named = entry.file_name().to_str().is_some_and(is_lock_name);
        if !is_named || !entry.metadata().is_ok_and(is_empty) {
            continue;
        }
        if let Some(lock) = Lock::try_take_existing(&entry.path())? {
            lock.remove()?;
        }
    }
    // Refused if something is left in it.
    drop(fs::remove_dir(folder));
    Ok(())
}

/// Whether `file` is what is at `path` now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok(there.ino() == held.ino() && there.dev() == held.dev()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn open(path: &Path) -> io::Result<File> {
    let attempt = || {
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
    };
    // Whoever tidies may remove the empty folder in between.
    let is_gone = |result: &io::Result<File>| matches!(result, Err(error) if error.kind() == io::ErrorKind::NotFound);
    std::iter::repeat_with(attempt)
        .take(ATTEMPTS)
        .find(|result| !is_gone(result))
        .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_lock_is_never_seen_unlocked() {
        let folder = tempfile::tempdir().unwrap();
        let path = |index: usize| folder.path().join(format!("{index}/lock"));
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let mut seen = 0;
                while !is_over.load(order) {
                    seen += (0..50)
                        .filter_map(|index| Lock::try_share_existing(&path(index)).unwrap())
                        .count();
                }
                seen
            });
            let (mut created, mut twice) = (0, 0);
            for _ in 0..40 {
                let new = |index| Lock::create(&path(index)).unwrap();
                let held: Vec<Lock> = (0..50).filter_map(new).collect();
                created += held.len();
                twice += usize::from(Lock::create(&path(0)).unwrap().is_some());
                for lock in held {
                    lock.remove().unwrap();
                }
            }
            is_over.store(true, order);
            let seen = looking.join().unwrap();
            assert_eq!((created, twice, seen), (40 * 50, 0, 0));
        });
    }

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

    #[tokio::test]
    async fn those_who_share_keep_out_who_wants_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let first = Lock::share(&path).await.unwrap();
        let second = Lock::share(&path).await.unwrap();
        drop(first);
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(second);
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[tokio::test]
    async fn who_waited_for_a_file_that_was_removed_holds_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        let first = Lock::try_take(&path).unwrap().unwrap();
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { Lock::take(&path).await }
        });
        // Whether it waits already or not: it must not end up with a file that nobody else can find.
        tokio::task::yield_now().await;
        first.remove().unwrap();
        let second = waiting.await.unwrap().unwrap();
        assert!(path.exists());
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(second);
    }

    #[test]
    fn tidying_removes_lock_files_that_nobody_holds_and_nothing_foreign() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let locks = state.locks();
        let held = Lock::try_take(&state.lock("held")).unwrap().unwrap();
        drop(Lock::try_take(&state.lock("free")).unwrap());
        let foreign = ["folder", "empty", "e2e-matrix-notes.lock"].map(|name| locks.join(name));
        fs::create_dir(&foreign[0]).unwrap();
        fs::write(&foreign[1], "").unwrap();
        fs::write(&foreign[2], "not a lock").unwrap();
        tidy(&state).unwrap();
        assert!(state.lock("held").exists());
        assert!(!state.lock("free").exists());
        drop(held);
        tidy(&state).unwrap();
        let mut left: Vec<_> = fs::read_dir(&locks)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [&foreign[2], &foreign[1], &foreign[0]].map(Clone::clone)
        );
        fs::remove_dir(&foreign[0]).unwrap();
        fs::remove_file(&foreign[1]).unwrap();
        fs::remove_file(&foreign[2]).unwrap();
        tidy(&state).unwrap();
        assert!(!locks.exists());
        tidy(&state).unwrap();
    }

    #[test]
    fn a_look_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/lock");
        assert!(Lock::try_take_existing(&path).unwrap().is_none());
        assert!(Lock::try_share_existing(&path).unwrap().is_none());
        assert!(!folder.path().join("run").exists());
    }
}
