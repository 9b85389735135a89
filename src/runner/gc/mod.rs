//! What dead runs left behind: found by the locks that the kernel dropped, removed, and proven gone.
//!
//! Touches nothing of a live run, and nothing that neither a ledger nor a label says is ours, whatever it is called.

mod common;
mod dead;
mod engine;
mod foreign;
mod row;
mod temporaries;

use std::time::Duration;

use crate::deadline::{Deadline, RunClock};
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
    let (dead, alive) = claim(state, &deadline).await?;
    let mut collector = Collector {
        state,
        options,
        engine: Engine::connect(&deadline).await,
        deadline,
        report: GcReport::default(),
    };
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
    let mut dead = Vec::new();
    for token in tokens.iter().filter(|token| !token.is_empty()) {
        let folder = state.run(token);
        if folder.exists() {
            dead.extend(DeadRun::claim(folder)?);
        }
    }
    if dead.is_empty() {
        return Ok(GcReport::default());
    }
    let mut collector = Collector {
        state,
        options: GcOptions::default(),
        engine: Engine::connect(&deadline).await,
        deadline,
        report: GcReport::default(),
    };
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
}

/// Claims the dead runs. Returns them, and how many live.
async fn claim(
    state: &StateFolder,
    deadline: &Deadline,
) -> Result<(Vec<DeadRun>, usize), LedgerError> {
    let mut dead = Vec::new();
    let mut held = Vec::new();
    for folder in folders(state)? {
        match DeadRun::claim(folder.clone())? {
            Some(run) => dead.push(run),
            None => held.push(folder),
        }
    }
    if held.is_empty() {
        return Ok((dead, 0));
    }
    deadline.within(LOOKED_AT).passed().await;
    let mut alive = 0;
    for folder in held {
        match DeadRun::claim(folder.clone())? {
            Some(run) => dead.push(run),
            None => alive += usize::from(folder.exists()),
        }
    }
    Ok((dead, alive))
}
