//! The folder that stands for the root folder, for a process that can't have a file system of its own.

use std::env;
use std::path::{Path, PathBuf};

const ROOT: &str = "PLEXD_ROOT";

/// Where the file `path` is: below `PLEXD_ROOT`, if that is set.
pub(crate) fn below(path: &Path) -> PathBuf {
    match env::var_os(ROOT) {
        Some(root) => Path::new(&root).join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    }
}
