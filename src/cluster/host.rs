//! Reclaims the resources that runs create on the host: processes with the run's mark, folders in the run's private
//! folder, and ports.

use std::fs;
use std::io;
use std::path::Path;

use async_trait::async_trait;

use super::reclaim::{Entry, Reclaim, Reclaimed, incomplete};
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Evidence, Failure};
use crate::machine::marked::Marked;
use crate::machine::{HostResource, LiveClaims, Payload, remove_tree};

/// Reclaims resources on the host. Marks and folders contain the run's token, so no live run can claim them.
pub struct HostReclaimer;

#[async_trait]
impl Reclaim for HostReclaimer {
    fn provider(&self) -> &'static str {
        HostResource::PROVIDER
    }

    async fn reclaim(&self, entry: &Entry<'_>, _live: &LiveClaims) -> Result<Reclaimed, Failure> {
        match entry.payload()? {
            HostResource::Processes { mark } => {
                entry.check_mark(&mark)?;
                processes(mark, entry.dry_run, entry.deadline).await
            }
            HostResource::Folder { path } => {
                if !path.starts_with(entry.folder) || path.iter().any(|part| part == "..") {
                    return Err(incomplete("the folder is not below the run's own folder"));
                }
                folder(&path, entry.dry_run).await
            }
            // The port is free, because the run that reserved it has ended.
            HostResource::Port { .. } => Ok(Reclaimed::Absent),
        }
    }
}

/// Kills the processes with the mark `mark`. Returns evidence that none of them is left.
pub(super) async fn end_processes(mark: &str, deadline: &Deadline) -> Evidence {
    let (_, left) = Marked::Cell(mark.to_owned()).kill(deadline).await;
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    Evidence::none_left("processes of the cell", &left)
}

/// Deletes a folder. Returns evidence that it is gone.
pub(super) async fn delete_folder(path: &Path) -> Evidence {
    let folder = path.to_owned();
    let removed = tokio::task::spawn_blocking(move || remove_tree(&folder)).await;
    let removed = removed.unwrap_or_else(|error| Err(io::Error::other(error)));
    let (seen, is_gone) = match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => (chain(&error), false),
        _ if fs::symlink_metadata(path).is_ok() => ("still exists".to_owned(), false),
        _ => ("gone".to_owned(), true),
    };
    Evidence::new(format!("folder {}", path.display()), "gone", seen, is_gone)
}

async fn processes(mark: String, dry_run: bool, deadline: &Deadline) -> Result<Reclaimed, Failure> {
    let marked = Marked::Cell(mark);
    if dry_run {
        let found = marked.find();
        return Ok(if found.is_empty() {
            Reclaimed::Absent
        } else {
            Reclaimed::Present
        });
    }
    match marked.kill(deadline).await {
        (0, _) => Ok(Reclaimed::Absent),
        (_, left) if left.is_empty() => Ok(Reclaimed::Deleted),
        (_, left) => Err(incomplete(format!(
            "these processes are still running: {left:?}"
        ))),
    }
}

async fn folder(path: &Path, dry_run: bool) -> Result<Reclaimed, Failure> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(Reclaimed::Absent);
    }
    if dry_run {
        return Ok(Reclaimed::Present);
    }
    let deleted = delete_folder(path).await;
    if deleted.holds {
        Ok(Reclaimed::Deleted)
    } else {
        Err(incomplete(deleted.seen))
    }
}
