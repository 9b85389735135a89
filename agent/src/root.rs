//! The folder that replaces the root folder, for a process without its own file system.

use std::env;
use std::path::{Path, PathBuf};

const ROOT: &str = "PLEXD_ROOT";

/// The location of the file `path`: below `PLEXD_ROOT` if that variable is set.
pub(crate) fn below(path: &Path) -> PathBuf {
    match env::var_os(ROOT) {
        Some(root) => Path::new(&root).join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    }
}
