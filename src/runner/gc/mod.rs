//! What dead runs left behind: found by the locks that the kernel dropped, removed, and proven gone.
//!
//! Touches nothing of a live run, and nothing that neither a ledger nor a label says is ours, whatever it is called.

mod common;
mod dead;
mod engine;
mod foreign;
mod row;
mod temporaries;

use std::path::PathBuf;
use std::time::Duration;

use crate::deadline::{Deadline, RunClock};
use crate::error::chain;
use crate::machine::{DeadRun, LedgerError, StateFolder, folders};

use engine::Engine;
pub use row::{GcOutcome, GcRow};

/// How long all of it may take.
const BUDGET: Duration = Duration::from_secs(300);
/// Somebody who only looks whether a run lives holds its lock for less.
const LOOKED_AT: Duration = Duration::from_millis(100);

/// What to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcOptions {
    /// Nothing: only say what would be.
    pub dry_run: bool,
    /// What was kept on purpose, too.
    pub kept: bool,
    /// Images and archives, which later runs would use again, too.
    pub cache: bool,
    /// Only what belongs to runs that were alive for the last time so long ago.
    pub older_than: Option<Duration>,
}

/// What was found, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// One thing each.
    pub rows: Vec<GcRow>,
}

impl GcReport {
    /// Whether nothing is left that should have gone.
    pub fn is_clean(&self) -> bool {
        !self.rows.iter().any(|row| row.outcome.is_failure())
    }
}

/// Looks for what dead runs left, and removes it.
pub async fn gc(state: &StateFolder, options: GcOptions) -> Result<GcReport, LedgerError> {
    let clock = RunClock::new();
    let deadline = clock.deadline(BUDGET);
    let mut collector = Collector {
        state,
        options,
        engine: Engine::connect(&deadline).await,
        deadline,
        report: GcReport::default(),
    };
    let (dead, alive) = collector.claim(folders(state)?).await;
    for run in dead {
        if collector.is_old_enough(&run) {
            collector.run(run).await;
        }
    }
    collector.common(alive > 0).await;
    collector.foreign().await;
    Ok(collector.report)
}

/// Removes what the dead ones among the runs with these tokens left, and nothing else.
pub(super) async fn gc_of(state: &StateFolder, tokens: &[&str]) -> Result<GcReport, LedgerError> {
    let deadline = RunClock::new().deadline(BUDGET);
    let mut folders = folders(state)?;
    folders.retain(|folder| tokens.iter().any(|token| *folder == state.run(token)));
    if folders.is_empty() {
        return Ok(GcReport::default());
    }
    let mut collector = Collector {
        state,
        options: GcOptions::default(),
        engine: Engine::connect(&deadline).await,
        deadline,
        report: GcReport::default(),
    };
    let (dead, _) = collector.claim(folders).await;
    for run in dead {
        collector.run(run).await;
    }
    Ok(collector.report)
}

/// What a collection has at hand.
struct Collector<'s> {
    state: &'s StateFolder,
    options: GcOptions,
    engine: Engine,
    deadline: Deadline,
    report: GcReport,
}

impl Collector<'_> {
    fn is_old_enough(&self, run: &DeadRun) -> bool {
        let least = self.options.older_than;
        least.is_none_or(|least| run.age >= least)
    }

    fn tell(&mut self, row: GcRow) {
        self.report.rows.push(row);
    }
    /// Claims the dead runs among `folders`, and reports those that can't be read. Returns them, and how many are alive.
    async fn claim(&mut self, folders: Vec<PathBuf>) -> (Vec<DeadRun>, usize) {
        let mut dead = Vec::new();
        let held = self.claim_free(folders, &mut dead);
        if held.is_empty() {
            return (dead, 0);
        }
        self.deadline.within(LOOKED_AT).passed().await;
        let held = self.claim_free(held, &mut dead);
        let alive = held.iter().filter(|folder| folder.exists()).count();
        (dead, alive)
    }

    /// Adds the runs that no process holds to `dead`, and returns the folders of the others.
    fn claim_free(&mut self, folders: Vec<PathBuf>, dead: &mut Vec<DeadRun>) -> Vec<PathBuf> {
        let mut held = Vec::new();
        for folder in folders {
            match DeadRun::claim(folder.clone()) {
                Ok(Some(run)) => dead.push(run),
                Ok(None) => held.push(folder),
                Err(error) => self.tell(GcRow {
                    run: None,
                    age: None,
                    resource: format!("folder {}", folder.display()),
                    outcome: GcOutcome::Failed(chain(&error)),
                }),
            }
        }
        held
    }
}
