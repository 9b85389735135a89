//! How providers reclaim what dead runs have left: one trait, which knows nothing of the run but its ledger.
//!
//! An entry proves what a run planned, not what is there. Each provider decides by identity what is the run's, and never touches
//! what a live run claims.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::{LedgerError, LiveClaims, Payload, Resource};

/// An entry of a dead run's ledger.
#[derive(Clone, Copy)]
pub struct Entry<'e> {
    /// The run's token.
    pub run: &'e str,
    /// The run's private folder.
    pub folder: &'e Path,
    /// How long ago the run was last alive.
    pub age: Duration,
    /// What it planned.
    pub resource: &'e Resource,
    /// Whether nothing may be changed.
    pub dry_run: bool,
    /// When the work has to be done.
    pub deadline: &'e Deadline,
}

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reclaimed {
    /// Nothing of it is there, or a live run has it now.
    Absent,
    /// It is there, and a run without `dry_run` would remove it.
    Present,
    /// It was removed, and is proven gone.
    Removed,
    /// It stays as long as something else uses it. What does.
    Used(String),
    /// It stays: something else has its name. Why, and what to do.
    Foreign(String),
}

/// A provider, as the one who owns the entries with its name.
#[async_trait]
pub trait Reclaim: Send + Sync {
    /// Its name in ledgers: [`Payload::PROVIDER`].
    fn provider(&self) -> &'static str;

    /// Removes what `entry` stands for and no live run claims.
    ///
    /// # Errors
    /// If the entry can't be read, or if it can't be removed.
    async fn reclaim(&self, entry: &Entry<'_>, live: &LiveClaims) -> Result<Reclaimed, Failure>;
}

impl Entry<'_> {
    /// The payload, for its provider.
    pub(super) fn payload<P: Payload>(&self) -> Result<P, Failure> {
        let why = match self.resource.read() {
            Some(Ok(payload)) => return Ok(payload),
            Some(Err(error)) => error.to_string(),
            None => format!("it is of the provider `{}`", self.resource.provider),
        };
        Err(incomplete(format!(
            "this version can't read its ledger entry: {why}"
        )))
    }

    /// Fails if `mark` is not one of this run's: whatever else a ledger says is not believed.
    pub(super) fn check_mark(&self, mark: &str) -> Result<(), Failure> {
        match mark.split_once('/') {
            Some((run, _)) if run == self.run => Ok(()),
            Some(_) | None => Err(incomplete(format!(
                "`{mark}` doesn't mark processes of that run"
            ))),
        }
    }
}

/// Something could not be removed.
pub(super) fn incomplete(message: impl Into<String>) -> Failure {
    Failure::new(Symptom::CleanupIncomplete, message)
}

/// A ledger can't be written or read.
pub(super) fn ledger_failed(error: &LedgerError) -> Failure {
    Failure::new(Symptom::FilesystemFailed, chain(error))
}
