//! The end of a run: closes its ledger, and removes lock files that no process holds.

use std::sync::Arc;

use crate::error::chain;
use crate::machine::{Ledger, LedgerContents, LedgerError, Left, Resource, StateFolder, tidy};

/// Closes `ledger`. Returns the resources that are left and shouldn't be.
pub(super) fn close(ledger: Arc<Ledger>, state: &StateFolder) -> Vec<Resource> {
    let left = close_ledger(ledger).unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "failed to close the ledger");
        Vec::new()
    });
    if let Err(error) = tidy(state) {
        tracing::warn!(error = chain(&error), "failed to remove lock files");
    }
    let unwanted = left.into_iter().filter(Left::is_unwanted);
    unwanted.map(|left| left.resource).collect()
}

/// After an aborted run, tasks may still hold the ledger, which then stays open until the process ends.
fn close_ledger(ledger: Arc<Ledger>) -> Result<Vec<Left>, LedgerError> {
    let folder = ledger.folder().to_owned();
    match Arc::into_inner(ledger) {
        Some(ledger) => ledger.close(),
        None => Ok(LedgerContents::read(&folder)?.left),
    }
}
