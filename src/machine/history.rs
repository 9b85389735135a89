//! How long cells took on this machine, by provider, so that the cells that take longest can start first.
//!
//! The history is only an optimization: if it can't be read, it counts as empty, and if it can't be written, the new
//! duration is dropped.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Lock, LockError, StateFolder, if_exists, replace_private};

/// The version of the file's format.
const VERSION: u32 = 1;
/// How many durations are kept per cell. Older ones are dropped.
const KEPT: usize = 5;

/// The durations of cells in milliseconds, by provider and by the cell's id in the matrix; the newest duration of each
/// cell is last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    version: u32,
    cells: BTreeMap<String, BTreeMap<String, Vec<u64>>>,
}

/// A history that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file can't be read or written.
    #[error("failed to read or write the history {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file has no valid content, for example because it was truncated.
    #[error("{} is not a valid history of cells", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// A newer version of the runner wrote the file.
    #[error("{} was written by a newer version of e2e-matrix", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The lock can't be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl Default for History {
    fn default() -> Self {
        Self {
            version: VERSION,
            cells: BTreeMap::new(),
        }
    }
}

impl History {
    /// The expected duration of the cell: the median of its last durations. `None` if the history has none.
    pub fn estimate(&self, provider: &str, cell: &str) -> Option<Duration> {
        let mut times = self.cells.get(provider)?.get(cell)?.clone();
        times.sort_unstable();
        let middle = times.len() / 2;
        let median = match (times.get(middle)?, times.len() % 2) {
            (upper, 0) => times[middle - 1].midpoint(*upper),
            (only, _) => *only,
        };
        Some(Duration::from_millis(median))
    }

    fn add(&mut self, provider: &str, cell: &str, duration: Duration) {
        let cells = self.cells.entry(provider.to_owned()).or_default();
        let times = cells.entry(cell.to_owned()).or_default();
        times.push(crate::deadline::milliseconds(duration));
        let old = times.len().saturating_sub(KEPT);
        times.drain(..old);
    }
}

/// How long to wait for other processes that write to the history. Each write takes milliseconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The file of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryFile {
    path: PathBuf,
    lock: PathBuf,
}

impl HistoryFile {
    /// The history of this machine.
    pub fn of(state: &StateFolder) -> Self {
        Self {
            path: state.path().join("history.json"),
            lock: state.lock("history"),
        }
    }

    /// Reads the history; empty if the file doesn't exist.
    pub fn load(&self) -> Result<History, HistoryError> {
        let read = if_exists(fs::read(&self.path)).map_err(|source| self.error(source))?;
        let Some(text) = read else {
            return Ok(History::default());
        };
        let path = self.path.clone();
        match serde_json::from_slice::<History>(&text) {
            Ok(history) if history.version > VERSION => Err(HistoryError::Newer { path }),
            Ok(history) => Ok(history),
            Err(source) => Err(HistoryError::Damaged { path, source }),
        }
    }

    /// Adds the duration of a cell that passed. A damaged history is replaced by a new one.
    pub async fn add(
        &self,
        provider: &str,
        cell: &str,
        duration: Duration,
    ) -> Result<(), HistoryError> {
        let _lock = Lock::take_within(&self.lock, LOCK_TIMEOUT).await?;
        let mut history = match self.load() {
            Err(HistoryError::Damaged { .. }) => History::default(),
            other => other?,
        };
        history.add(provider, cell, duration);
        let bytes = serde_json::to_vec(&history).map_err(io::Error::from);
        let written =
            bytes.and_then(|bytes| replace_private(&self.path, |file| file.write_all(&bytes)));
        written.map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> HistoryError {
        let path = self.path.clone();
        HistoryError::Io { path, source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const CELL: &str = "k8s-1.36-n1-fast";

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn one_slow_run_does_not_raise_the_estimate() {
        let mut history = History::default();
        assert_eq!(history.estimate("local", CELL), None);
        for took in [2, 90, 4] {
            history.add("local", CELL, seconds(took));
        }
        assert_eq!(history.estimate("local", CELL), Some(seconds(4)));
        assert_eq!(history.estimate("kind", CELL), None);
        history.add("local", CELL, seconds(6));
        assert_eq!(history.estimate("local", CELL), Some(seconds(5)));
        for _ in 0..KEPT {
            history.add("local", CELL, seconds(1));
        }
        assert_eq!(history.estimate("local", CELL), Some(seconds(1)));
    }

    #[tokio::test]
    async fn concurrent_writers_lose_nothing_and_the_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = HistoryFile::of(&StateFolder::at(folder.path()));
        let cells: Vec<String> = (0..8).map(|number| format!("cell-{number}")).collect();
        let additions = cells.iter().map(|cell| file.add("local", cell, seconds(3)));
        for added in futures::future::join_all(additions).await {
            added.unwrap();
        }
        let history = file.load().unwrap();
        for cell in &cells {
            assert_eq!(history.estimate("local", cell), Some(seconds(3)));
        }
        let mode = fs::metadata(&file.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_damaged_history_is_reported_and_replaced_and_a_newer_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = HistoryFile::of(&StateFolder::at(folder.path()));
        fs::write(&file.path, "{\"version\":1,\"cel").unwrap();
        assert!(matches!(file.load(), Err(HistoryError::Damaged { .. })));
        file.add("local", CELL, seconds(3)).await.unwrap();
        assert!(file.load().unwrap().estimate("local", CELL).is_some());
        let newer = "{\"version\":9,\"cells\":{}}";
        fs::write(&file.path, newer).unwrap();
        let added = file.add("local", CELL, seconds(3)).await;
        assert!(matches!(added, Err(HistoryError::Newer { .. })));
        assert_eq!(fs::read_to_string(&file.path).unwrap(), newer);
    }
}
