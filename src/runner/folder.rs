//! The folder of a run: `<out>/<run-id>`, with a link `<out>/latest` to the newest one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cluster::RUN_LENGTH;
use crate::record::merge::CELLS;

/// The folder of a run, which exists and is writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    id: String,
    token: String,
    path: PathBuf,
    out: PathBuf,
}

/// A run's folder can't be created or written to.
#[derive(Debug, thiserror::Error)]
#[error("failed to write to the output folder {}", path.display())]
pub struct FolderError {
    /// The folder.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// The name of the folder that contains the parts of a run that several processes share.
pub const PARTS: &str = "parts";

impl RunFolder {
    /// Creates the folder of a new run in `out`, and tests that it is writable.
    pub fn create(out: &Path) -> Result<Self, FolderError> {
        let token = random_token();
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        let id = format!("{}-{token}", now.strftime("%Y%m%dT%H%M%SZ"));
        Self::at(out, out.join(&id), id, token)
    }

    /// Creates the folder of one part of a run that several processes share: `<out>/<run>/parts/<part>`.
    ///
    /// Each part contains a link to the run's folder `cells`, so that combining the parts copies no files.
    pub fn create_part(out: &Path, run: &str, part: &str) -> Result<Self, FolderError> {
        let path = out.join(run).join(PARTS).join(part);
        let shared = fs::create_dir_all(out.join(run).join(CELLS))
            .and_then(|()| fs::create_dir_all(&path))
            .and_then(|()| {
                let target = Path::new("../..").join(CELLS);
                match std::os::unix::fs::symlink(target, path.join(CELLS)) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    linked => linked,
                }
            });
        if let Err(source) = shared {
            return Err(FolderError { path, source });
        }
        Self::at(out, path, run.to_owned(), random_token())
    }

    /// Opens the existing folder of the run `id` in `out`, for a session with a new token.
    pub fn reopen(out: &Path, id: &str) -> Result<Self, FolderError> {
        Self::at(out, out.join(id), id.to_owned(), random_token())
    }

    fn at(out: &Path, path: PathBuf, id: String, token: String) -> Result<Self, FolderError> {
        let created = fs::create_dir_all(path.join(CELLS))
            .and_then(|()| tempfile::tempfile_in(&path))
            .and_then(|mut file| io::Write::write_all(&mut file, b"writable"));
        match created {
            Ok(()) => Ok(Self {
                id,
                token,
                path,
                out: out.to_owned(),
            }),
            Err(source) => Err(FolderError { path, source }),
        }
    }

    /// Points the link `latest` at the run. An error doesn't end the run.
    pub fn point_latest(&self) {
        let temporary = self.out.join(latest_temporary(&self.token));
        let linked = std::os::unix::fs::symlink(&self.id, &temporary)
            .and_then(|()| fs::rename(&temporary, self.out.join("latest")));
        if let Err(error) = linked {
            drop(fs::remove_file(&temporary));
            tracing::warn!(%error, "failed to point `latest` at the new run");
        }
    }

    /// The run's id: its start time and its token.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A few random characters that distinguish this run's resources from all others.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a cell.
    pub fn cell(&self, id: &crate::matrix::CellId) -> PathBuf {
        self.path.join(CELLS).join(id.as_str())
    }
}

/// The temporary name of the link `latest`, for the run with the token `token`.
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
    fn a_folder_named_latest_stays_and_no_temporary_link_is_left() {
        let out = tempfile::tempdir().unwrap();
        fs::create_dir(out.path().join("latest")).unwrap();
        let run = RunFolder::create(out.path()).unwrap();
        run.point_latest();
        let entries = fs::read_dir(out.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [run.id(), "latest"]);
    }

    #[test]
    fn the_error_names_a_folder_that_cannot_be_created() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = RunFolder::create(file.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("failed to write to the output folder")
        );
    }
}
