//! The folder for everything that other runs have to find: locks, ledgers, private files.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// The prefix and suffix of lock file names, which distinguish them from other files.
const LOCK_START: &str = "e2e-matrix-";
const LOCK_END: &str = ".lock";

/// Whether `name` is a name that [`StateFolder::lock`] produces.
pub(super) fn is_lock_name(name: &str) -> bool {
    name.starts_with(LOCK_START) && name.ends_with(LOCK_END)
}

/// The user's state folder for this program; everything in it is private to the user.
#[derive(Clone, Debug)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// The folder given by the environment: `$E2E_MATRIX_STATE_DIR`, or `e2e-matrix` in the user's state folder, or
    /// `e2e-matrix` in the folder for temporary files.
    pub fn of_user() -> Self {
        if let Some(folder) = Self::of_environment() {
            return folder;
        }
        let base = etcetera::choose_base_strategy()
            .ok()
            .and_then(|strategy| strategy.state_dir())
            .unwrap_or_else(std::env::temp_dir);
        Self(base.join("e2e-matrix"))
    }

    /// The environment variable that overrides the user's state folder.
    pub const VARIABLE: &str = "E2E_MATRIX_STATE_DIR";

    /// The folder named by [`Self::VARIABLE`]; `None` if the variable isn't set.
    pub fn of_environment() -> Option<Self> {
        let folder = std::env::var_os(Self::VARIABLE).filter(|name| !name.is_empty())?;
        Some(Self(absolute(PathBuf::from(folder))))
    }

    /// A state folder at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder that contains the runs.
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    /// The folder of the run with the token `run`.
    pub fn run(&self, run: &str) -> PathBuf {
        self.runs().join(run)
    }

    /// The folder for data that is kept between runs and can be created again.
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// The folder for locks that processes share.
    pub fn locks(&self) -> PathBuf {
        self.0.join("locks")
    }

    /// The file of the lock `name`.
    pub fn lock(&self, name: &str) -> PathBuf {
        self.locks().join(format!("{LOCK_START}{name}{LOCK_END}"))
    }
}

/// `path` as an absolute path, for processes with another working directory; unchanged if the working directory no
/// longer exists.
pub fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Creates `path` and its parents. New folders are readable only by the user; an existing folder keeps its mode.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// `None` if `result` is the error that a file doesn't exist.
pub(super) fn if_exists<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_new_folders_become_private() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let shared = tempfile::tempdir().unwrap();
        fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let below = shared.path().join("new/newer");
        private_folder(shared.path()).unwrap();
        private_folder(&below).unwrap();
        assert_eq!(mode(shared.path()), 0o1777);
        assert_eq!(mode(&below), 0o700);
        assert_eq!(mode(&shared.path().join("new")), 0o700);
    }
}
