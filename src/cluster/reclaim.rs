//! The trait with which providers reclaim the resources of dead runs. It knows only a run's ledger.
//!
//! A ledger entry proves that a run planned to create a resource, not that the resource exists. Each provider checks
//! the identity of a resource to decide whether it belongs to the run, and never touches a resource that a live run
//! claims.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::{LedgerError, LiveClaims, LockError, Payload, Resource, manual_cleanup};

/// An entry of a dead run's ledger.
#[derive(Clone, Copy)]
pub struct Entry<'e> {
    /// The run's token.
    pub run: &'e str,
    /// The run's private folder.
    pub folder: &'e Path,
    /// How long ago the run showed its last sign of life.
    pub age: Duration,
    /// The resource that the run planned.
    pub resource: &'e Resource,
    /// Whether to report what would be deleted, without deleting it.
    pub dry_run: bool,
    /// The deadline for the work.
    pub deadline: &'e Deadline,
}

/// The result of reclaiming an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reclaimed {
    /// It doesn't exist, or a live run claims it.
    Absent,
    /// It exists, and would be deleted without `dry_run`.
    Present,
    /// It was deleted, and a check has shown that it is gone.
    Deleted,
    /// It stays because something else uses it, as described in the text.
    Used(String),
    /// It stays because something that the run didn't create has its name. The text says why it stays and what to do.
    Foreign(String),
}

/// The part of a provider that reclaims the resources in the provider's ledger entries.
#[async_trait]
pub trait Reclaim: Send + Sync {
    /// The provider's name in ledgers: [`Payload::PROVIDER`].
    fn provider(&self) -> &'static str;

    /// Deletes what `entry` describes, unless a live run claims it.
    ///
    /// # Errors
    /// If the entry can't be read, or if the resource can't be deleted.
    async fn reclaim(&self, entry: &Entry<'_>, live: &LiveClaims) -> Result<Reclaimed, Failure>;
}

impl Entry<'_> {
    /// The payload of the entry.
    pub(super) fn payload<P: Payload>(&self) -> Result<P, Failure> {
        let why = match self.resource.read() {
            Some(Ok(payload)) => return Ok(payload),
            Some(Err(error)) => error.to_string(),
            None => format!("it belongs to the provider `{}`", self.resource.provider),
        };
        Err(incomplete(format!(
            "this version can't read its ledger entry ({why}): {}",
            manual_cleanup(self.folder)
        )))
    }

    /// Fails if `mark` doesn't belong to this run. A ledger that names marks of other runs is not trusted.
    pub(super) fn check_mark(&self, mark: &str) -> Result<(), Failure> {
        let run = mark.split_once('/').map(|(run, _)| run);
        if run == Some(self.run) {
            return Ok(());
        }
        let message = format!("the mark `{mark}` does not belong to that run");
        Err(incomplete(message))
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::new(Symptom::FilesystemFailed, chain(&error))
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        LedgerError::from(error).into()
    }
}

/// The failure if a resource can't be deleted.
pub(super) fn incomplete(message: impl Into<String>) -> Failure {
    Failure::new(Symptom::CleanupIncomplete, message)
}
