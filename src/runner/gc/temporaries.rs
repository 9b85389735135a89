//! Temporary files that a killed run couldn't rename or delete.

use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::{DeadRun, TEMPORARY};
use crate::runner::folder::latest_temporary;

/// The temporary files of `run` outside its private folder.
pub(super) fn of(run: &DeadRun) -> Vec<PathBuf> {
    let Some(owner) = &run.contents.owner else {
        return Vec::new();
    };
    let start = format!("{TEMPORARY}{}-", owner.process);
    let state = run.folder.ancestors().nth(2);
    let folders = owner.copies.iter().map(PathBuf::as_path);
    let mut found: Vec<PathBuf> = folders
        .chain([owner.folder.as_path()])
        .chain(state)
        .flat_map(|folder| beginning(folder, &start))
        .collect();
    // The link is in the folder of all runs. The folder of a part is two folders deeper than that of a run.
    let link = latest_temporary(&owner.run);
    let above = owner.folder.ancestors().skip(1).take(3);
    let links = above.map(|folder| folder.join(&link));
    found.extend(links.filter(|link| fs::symlink_metadata(link).is_ok()));
    found.sort();
    found.dedup();
    found
}

/// The files in `folder` whose names begin with `start`.
fn beginning(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path())
        .collect()
}
