//! Locks between processes. The kernel releases a lock when its holder ends.
//!
//! The holder of an exclusive lock may delete the lock file. A process that then acquires the lock of the deleted file
//! retries with the new file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::state::is_lock_name;
use super::{StateFolder, if_exists, private_folder};

/// A held lock. It is released when this value is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

/// A lock that can't be taken.
#[derive(Debug, thiserror::Error)]
#[error("failed to lock {}", path.display())]
pub struct LockError {
    /// The lock file.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// How many times to recreate a folder that other processes delete at the same time.
const ATTEMPTS: usize = 100;

impl Lock {
    /// Takes the lock at `path`; `None` if another process holds it.
    pub fn try_take(path: &Path) -> Result<Option<Self>, LockError> {
        Self::at(path, try_lock(path, open, File::try_lock))
    }

    /// Creates the lock file at `path` with the lock already held; `None` if the file exists.
    ///
    /// [`Lock::try_take`] would expose a file that isn't locked yet, and would fail if another process checked the lock
    /// at that moment.
    pub fn create(path: &Path) -> Result<Option<Self>, LockError> {
        let hidden = path.with_extension("new");
        let create = || {
            let Some(file) = try_lock(&hidden, open, File::try_lock)? else {
                return Ok(None);
            };
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

    /// Like [`Lock::try_take`], but doesn't create the file. Also returns `None` if the file doesn't exist.
    pub fn try_take_existing(path: &Path) -> Result<Option<Self>, LockError> {
        let file = if_exists(try_lock(path, open_existing, File::try_lock));
        Self::at(path, file.map(Option::flatten))
    }

    /// Like [`Lock::try_take_existing`], but takes a shared lock, to check whether any process holds the lock.
    pub fn try_share_existing(path: &Path) -> Result<Option<Self>, LockError> {
        let file = if_exists(try_lock(path, open_existing, File::try_lock_shared));
        Self::at(path, file.map(Option::flatten))
    }

    /// Takes the lock at `path` after all processes that asked for it before. Dropping the future gives up the position
    /// in the queue.
    pub async fn take(path: &Path) -> Result<Self, LockError> {
        let waiting = path.to_owned();
        // The kernel's wait can't be awaited, so it runs in a thread, which ends with the process if the future is
        // dropped.
        let locked = tokio::task::spawn_blocking(move || {
            loop {
                let file = open(&waiting)?;
                file.lock()?;
                if is_at(&file, &waiting)? {
                    return Ok(file);
                }
            }
        });
        let file = locked.await.map_err(io::Error::other).flatten();
        Ok(Self {
            path: path.to_owned(),
            _file: file.map_err(LockError::at(path))?,
        })
    }

    /// Takes the lock at `path`, or fails after `limit`. This is for locks that are held only briefly unless their
    /// holder hangs.
    pub async fn take_within(path: &Path, limit: Duration) -> Result<Self, LockError> {
        let taken = tokio::time::timeout(limit, Self::take(path)).await;
        taken.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            let message =
                format!("another process holds it, and did not release it within {seconds} s");
            let error = io::Error::new(io::ErrorKind::TimedOut, message);
            Err(LockError::at(path)(error))
        })
    }

    /// Deletes the lock file, which no other process holds, and releases the lock.
    pub fn remove(self) -> Result<(), LockError> {
        fs::remove_file(&self.path).map_err(LockError::at(&self.path))
    }

    /// The lock that consists of the locked `file` at `path`; `None` if another process holds it.
    fn at(path: &Path, file: io::Result<Option<File>>) -> Result<Option<Self>, LockError> {
        let file = file.map_err(LockError::at(path))?;
        let path = path.to_owned();
        Ok(file.map(|file| Self { path, _file: file }))
    }
}

impl LockError {
    /// An error for the lock file at `path`.
    fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// Opens the file at `path` with `open` and locks it with `lock`; `None` if another process holds the lock.
fn try_lock(
    path: &Path,
    open: fn(&Path) -> io::Result<File>,
    lock: fn(&File) -> Result<(), TryLockError>,
) -> io::Result<Option<File>> {
    loop {
        let file = open(path)?;
        match lock(&file) {
            Ok(()) if is_at(&file, path)? => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(source),
        }
    }
}

/// Deletes the lock files of `state` that no process holds, and then their folder if it is empty.
///
/// A lock file is an empty regular file with a name that [`StateFolder::lock`] produces. All other files stay.
pub fn tidy(state: &StateFolder) -> Result<(), LockError> {
    let folder = state.locks();
    let error = LockError::at(&folder);
    let entries = if_exists(fs::read_dir(&folder)).map_err(&error)?;
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(&error)?;
        let is_empty = |metadata: fs::Metadata| metadata.is_file() && metadata.len() == 0;
        let is_named = entry.file_name().to_str().is_some_and(is_lock_name);
        if !is_named || !entry.metadata().is_ok_and(is_empty) {
            continue;
        }
        if let Some(lock) = Lock::try_take_existing(&entry.path())? {
            lock.remove()?;
        }
    }
    // Fails if the folder isn't empty.
    drop(fs::remove_dir(&folder));
    Ok(())
}

/// Whether `file` is the file that is at `path` now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    let current = if_exists(fs::metadata(path))?;
    Ok(current.is_some_and(|current| (current.ino(), current.dev()) == (held.ino(), held.dev())))
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
    // Another process may delete the empty folder while it is being created, or before the file is created.
    let is_temporary = |opened: &io::Result<File>| {
        use io::ErrorKind::{AlreadyExists, NotFound};
        matches!(opened, Err(error) if matches!(error.kind(), NotFound | AlreadyExists))
    };
    let mut opened = attempt();
    for _ in 1..ATTEMPTS {
        if !is_temporary(&opened) {
            break;
        }
        opened = attempt();
    }
    opened
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
            let prober = scope.spawn(|| {
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
            let seen = prober.join().unwrap();
            assert_eq!((created, twice, seen), (40 * 50, 0, 0));
        });
    }

    #[tokio::test]
    async fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/one");
        let first = Lock::try_take(&path).unwrap().expect("no one holds it");
        assert!(Lock::try_take(&path).unwrap().is_none());
        let second = tokio::spawn({
            let path = path.clone();
            async move { Lock::take(&path).await }
        });
        drop(first);
        second.await.unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn a_shared_lock_excludes_an_exclusive_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        drop(Lock::try_take(&path).unwrap());
        let share = || Lock::try_share_existing(&path).unwrap().unwrap();
        let (first, second) = (share(), share());
        drop(first);
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(second);
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_process_that_waited_for_a_deleted_file_locks_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        let first = Lock::try_take(&path).unwrap().unwrap();
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { Lock::take(&path).await }
        });
        // Whether or not the task has started to wait, it must not end up with a file that no other process can find.
        tokio::task::yield_now().await;
        first.remove().unwrap();
        let second = waiting.await.unwrap().unwrap();
        assert!(path.exists());
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(second);
    }

    #[test]
    fn tidying_removes_unused_lock_files_and_no_other_files() {
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
    fn a_lock_can_be_taken_while_other_processes_delete_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        drop(Lock::try_take(&state.lock("one")).unwrap());
                        tidy(&state).unwrap();
                    }
                });
            }
        });
        assert!(!state.locks().exists());
    }

    #[test]
    fn checking_a_lock_creates_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/lock");
        assert!(Lock::try_take_existing(&path).unwrap().is_none());
        assert!(Lock::try_share_existing(&path).unwrap().is_none());
        assert!(!folder.path().join("run").exists());
    }
}
