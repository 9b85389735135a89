//! Kills a cell's processes, deletes its folder, and verifies that nothing of either is left.

use std::fs;
use std::path::Path;

use super::layout::Layout;
use super::logs;
use crate::deadline::Deadline;
use crate::event::Evidence;
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
pub(super) async fn folder(layout: &Layout) -> Evidence {
    let removing = layout.clone();
    let removed = logs::blocking(move || removing.remove()).await;
    let subject = format!("folder {}", layout.root().display());
    match removed {
        Ok(()) if !exists(layout.root()) => Evidence::new(subject, "gone", "gone", true),
        Ok(()) => Evidence::new(subject, "gone", "still exists", false),
        Err(error) => Evidence::new(subject, "gone", error, false),
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
