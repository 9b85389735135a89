//! Deletes resources of dead runs. A run is dead if the kernel has released its lock.
//!
//! Touches only resources that a ledger or a label identifies as ours and that no live run owns, regardless of their
//! names.

mod common;
mod dead;
mod row;
mod temporaries;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::provider::reclaimers;
use crate::cluster::Reclaim;
use crate::cluster::kind::KindReclaimer;
use crate::deadline::{Deadline, RunClock};
use crate::error::chain;
use crate::machine::{DeadRun, LedgerError, Lock, LockError, StateFolder, folders, is_alive};

pub use row::{GcOutcome, GcRow};

/// The timeout of the whole collection.
const BUDGET: Duration = Duration::from_secs(300);
/// The name of the lock that a collection holds while it deletes resources of runs.
const LOCK: &str = "gc";

/// What to delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcOptions {
    /// Nothing: only report what would be deleted.
    pub dry_run: bool,
    /// Also resources that were kept on purpose.
    pub kept: bool,
    /// Also images and archives, which later runs could use again.
    pub cache: bool,
    /// Only the resources of runs that were last active at least this long ago.
    pub older_than: Option<Duration>,
}

/// Finds and deletes resources of dead runs. Returns one row per resource.
pub async fn gc(state: &StateFolder, options: GcOptions) -> Result<Vec<GcRow>, LedgerError> {
    let folders = folders(state)?;
    let mut collector = Collector::new(state, options);
    let lock = collector.lock(&folders).await?;
    collector.runs(&folders).await;
    let alive = folders.iter().any(|folder| is_alive(folder));
    collector.common(alive).await;
    collector.unknown_clusters().await;
    collector.end(lock)
}

/// Deletes the resources of the dead runs with these tokens, and nothing else.
pub(super) async fn gc_of(state: &StateFolder, tokens: &[&str]) -> Result<Vec<GcRow>, LedgerError> {
    let mut folders = folders(state)?;
    folders.retain(|folder| tokens.iter().any(|token| *folder == state.run(token)));
    let mut collector = Collector::new(state, GcOptions::default());
    let lock = collector.lock(&folders).await?;
    collector.runs(&folders).await;
    collector.end(lock)
}

/// The state of a collection.
struct Collector<'s> {
    state: &'s StateFolder,
    options: GcOptions,
    engine: Arc<KindReclaimer>,
    reclaimers: [Arc<dyn Reclaim>; 3],
    deadline: Deadline,
    rows: Vec<GcRow>,
}

impl<'s> Collector<'s> {
    fn new(state: &'s StateFolder, options: GcOptions) -> Self {
        let deadline = RunClock::new().deadline(BUDGET);
        let engine = Arc::new(KindReclaimer::new(deadline.clone()));
        Self {
            state,
            options,
            reclaimers: reclaimers(&engine),
            engine,
            deadline,
            rows: Vec::new(),
        }
    }

    /// Ensures that only one collection at a time deletes resources of runs. `None` if this collection deletes no such
    /// resources. Shared resources can be deleted without this lock: archives have their own lock, and the engine
    /// deletes each image only once.
    async fn lock(&self, folders: &[PathBuf]) -> Result<Option<Lock>, LedgerError> {
        if self.options.dry_run || folders.is_empty() {
            return Ok(None);
        }
        let path = self.state.lock(LOCK);
        let taken = self.deadline.run(Lock::take(&path)).await;
        let lock = taken.unwrap_or_else(|late| {
            let budget = humantime::format_duration(late.budget);
            let message = format!("another `gc` has been running for more than {budget}");
            let source = io::Error::other(message);
            Err(LockError { path, source })
        });
        Ok(Some(lock?))
    }

    /// The dead runs among `folders` that are old enough. Reports those that can't be read.
    fn read(&mut self, folders: &[PathBuf]) -> Vec<DeadRun> {
        let mut dead = Vec::new();
        // Another collection may have deleted a run's folder in the meantime.
        for folder in folders.iter().filter(|folder| folder.exists()) {
            match DeadRun::read(folder.clone()) {
                Ok(run) => dead.extend(run),
                Err(error) => {
                    let resource = format!("folder {}", folder.display());
                    self.push(None, resource, GcOutcome::Failed(chain(&error)));
                }
            }
        }
        let least = self.options.older_than.unwrap_or_default();
        dead.retain(|run| run.age >= least);
        dead
    }

    fn push(&mut self, run: Option<&DeadRun>, resource: impl Into<String>, outcome: GcOutcome) {
        self.rows.push(GcRow::new(run, resource, outcome));
    }

    /// Returns the results. The lock's file is deleted last.
    fn end(self, lock: Option<Lock>) -> Result<Vec<GcRow>, LedgerError> {
        if let Some(lock) = lock {
            lock.remove()?;
            drop(fs::remove_dir(self.state.locks()));
        }
        Ok(self.rows)
    }

    /// Reports clusters whose names have the form of our cluster names, but which aren't in any ledger.
    async fn unknown_clusters(&mut self) {
        let names = self.engine.strangers(self.state).await;
        let names = names.unwrap_or_else(|failure| {
            tracing::debug!(%failure, "failed to look for clusters of others");
            Vec::new()
        });
        for name in names {
            let resource = format!("cluster {name}");
            if self.rows.iter().any(|row| row.resource == resource) {
                continue;
            }
            let reason =
                format!("no ledger lists it; to delete it: kind delete cluster --name {name}");
            self.push(None, resource, GcOutcome::LeftAlone(reason));
        }
    }
}
