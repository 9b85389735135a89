//! Kills a cell's processes, deletes its folder, and verifies that nothing of either is left.

use std::fs;
use std::io;
use std::path::Path;

use crate::cluster::reclaim::incomplete;
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure};
use crate::machine::marked::Marked;

/// Kills the processes that have the mark. Returns evidence that no such process is left.
pub(super) async fn processes(mark: &str, deadline: &Deadline) -> Evidence {
    let (_, left) = Marked::Cell(mark.to_owned()).kill(deadline).await;
    let ids: Vec<String> = left.iter().map(ToString::to_string).collect();
    let seen = if ids.is_empty() {
        "none".to_owned()
    } else {
        ids.join(", ")
    };
    Evidence::new("processes of the cell", "none", seen, ids.is_empty())
}

/// Removes the cell's private folder. Returns evidence that it is gone.
pub(super) async fn folder(path: &Path) -> Evidence {
    let removed = tokio::fs::remove_dir_all(path).await;
    let subject = format!("folder {}", path.display());
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Evidence::new(subject, "gone", error, false)
        }
        _ if fs::symlink_metadata(path).is_ok() => {
            Evidence::new(subject, "gone", "still exists", false)
        }
        _ => Evidence::new(subject, "gone", "gone", true),
    }
}

/// Returns `evidence` if all of it holds. Otherwise, fails with `message` and the rest of the evidence.
pub(super) fn complete(evidence: Vec<Evidence>, message: &str) -> Result<Vec<Evidence>, Failure> {
    let (held, left): (Vec<_>, Vec<_>) = evidence.into_iter().partition(|row| row.holds);
    if left.is_empty() {
        return Ok(held);
    }
    Err(incomplete(message).with_evidence(left))
}
