//! Takes a cell away and proves that nothing of it is left: no process, no port, no folder.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::failure::row;
use super::layout::Layout;
use super::logs;
use crate::deadline::Deadline;
use crate::event::Evidence;
use crate::machine::process::MARK;

/// How long a killed process may take to be gone.
const KILLED: Duration = Duration::from_secs(2);
/// How often it is looked for meanwhile: the kernel tells nobody but a parent.
const LOOK: Duration = Duration::from_millis(20);

/// Kills what still carries the mark, and says whether anything does.
pub(super) async fn processes(mark: &str, deadline: &Deadline) -> Evidence {
    let entry = Arc::new(format!("{MARK}={mark}"));
    let mut left = look(&entry).await;
    for process in &left {
        if let Err(error) = kill_process(*process, Signal::KILL) {
            tracing::debug!(?process, %error, "a process that was left is gone");
        }
    }
    let patience = deadline.within(KILLED);
    while !left.is_empty() && !patience.has_passed() {
        patience.within(LOOK).passed().await;
        left = look(&entry).await;
    }
    let ids: Vec<String> = left
        .iter()
        .map(|process| process.as_raw_nonzero().to_string())
        .collect();
    let seen = if ids.is_empty() {
        "none".to_owned()
    } else {
        ids.join(", ")
    };
    row("processes of the cell", "none", &seen, ids.is_empty())
}

async fn look(entry: &Arc<String>) -> Vec<Pid> {
    let entry = Arc::clone(entry);
    let found = logs::blocking(move || Ok(carrying(&entry)));
    found.await.unwrap_or_default()
}

/// The live processes whose environment has `entry`. Where the kernel shows none, the groups that were waited for are all.
fn carrying(entry: &str) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let id = process.file_name().to_str()?.parse().ok()?;
            // One that is only waiting to be reaped has no environment any more.
            let environment = fs::read(process.path().join("environ")).ok()?;
            let mut entries = environment.split(|byte| *byte == 0);
            entries
                .any(|other| other == entry.as_bytes())
                .then(|| Pid::from_raw(id))?
        })
        .collect()
}

/// Removes the cell's private folder.
pub(super) async fn folder(layout: &Layout) -> Evidence {
    let removing = layout.clone();
    let removed = logs::blocking(move || removing.remove()).await;
    let subject = format!("folder {}", layout.root().display());
    match removed {
        Ok(()) if !exists(layout.root()) => row(subject, "gone", "gone", true),
        Ok(()) => row(subject, "gone", "still there", false),
        Err(error) => row(subject, "gone", &error, false),
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
