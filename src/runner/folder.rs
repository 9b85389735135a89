//! The folder of a run: `<out>/<run-id>`, with `<out>/latest` pointing at the newest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cluster::RUN_LENGTH;

/// A run's folder, made and found writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    id: String,
    token: String,
    path: PathBuf,
    out: PathBuf,
}

/// A run's folder that can't be made or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write to the output folder {}", path.display())]
pub struct FolderError {
    /// The folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The folder of the cells' files in that of their run.
pub(super) const CELLS: &str = "cells";

impl RunFolder {
    /// Makes the folder of a new run below `out`, and shows by writing that it can be written.
    pub fn create(out: &Path) -> Result<Self, FolderError> {
        let token = random_token();
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        let id = format!("{}-{token}", now.strftime("%Y%m%dT%H%M%SZ"));
        Self::at(out, out.join(&id), id, token)
    }

    /// Makes the folder of one part of a run that several processes share: `<out>/<run>/<part>`.
    pub fn create_part(out: &Path, run: &str, part: &str) -> Result<Self, FolderError> {
        Self::at(
            out,
            out.join(run).join(part),
            run.to_owned(),
            random_token(),
        )
    }

    /// Opens the folder of the run `id` below `out`, which is there, for a session with resources of its own.
    pub fn reopen(out: &Path, id: &str) -> Result<Self, FolderError> {
        Self::at(out, out.join(id), id.to_owned(), random_token())
    }

    fn at(out: &Path, path: PathBuf, id: String, token: String) -> Result<Self, FolderError> {
        let made = fs::create_dir_all(path.join(CELLS))
            .and_then(|()| tempfile::tempfile_in(&path))
            .and_then(|mut file| io::Write::write_all(&mut file, b"writable"));
        match made {
            Ok(()) => Ok(Self {
                id,
                token,
                path,
                out: out.to_owned(),
            }),
            Err(source) => Err(FolderError { path, source }),
        }
    }

    /// Points `latest` at the run. Not having the link is no reason not to run.
    pub fn point_latest(&self) {
        let temporary = self.out.join(latest_temporary(&self.token));
        let linked = std::os::unix::fs::symlink(&self.id, &temporary)
            .and_then(|()| fs::rename(&temporary, self.out.join("latest")));
        if let Err(error) = linked {
            tracing::warn!(%error, "failed to point `latest` at the new run");
        }
    }

    /// The run's id: the time it began, and its token.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A few random characters that tell this run's resources from every other's.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a cell.
    pub fn cell(&self, id: &crate::matrix::CellId) -> PathBuf {
        self.path.join(CELLS).join(id.as_str())
    }
}

/// The name under which the run `token` makes the link, in the folder of all runs.
pub(super) fn latest_temporary(token: &str) -> String {
    format!(".latest-{token}")
}

fn random_token() -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let character = || char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]);
    std::iter::repeat_with(character).take(RUN_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_run_is_the_latest() {
        let out = tempfile::tempdir().unwrap();
        RunFolder::create(out.path()).unwrap().point_latest();
        let newest = RunFolder::create(out.path()).unwrap();
        newest.point_latest();
        let latest = fs::read_link(out.path().join("latest")).unwrap();
        assert_eq!(latest.to_str(), Some(newest.id()));
        assert_eq!(newest.token().len(), RUN_LENGTH);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = RunFolder::create(file.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("failed to write to the output folder")
        );
    }
}
