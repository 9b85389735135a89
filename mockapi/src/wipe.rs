//! Deletes a folder on a node. After a cell in a shared cluster, a pod with the mock's image does this.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// Deletes `folder` with everything in it, and then prints `wiped`. It isn't an error if the folder doesn't exist.
pub(crate) fn run(folder: &Path) -> ExitCode {
    match wipe(folder).and_then(|()| writeln!(io::stdout().lock(), "wiped")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("failed to wipe {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Symbolic links are deleted, but not their targets.
fn wipe(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("it still exists")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_deleted_but_not_the_targets_of_its_links() {
        let scratch = tempfile::tempdir().unwrap();
        let (own, others) = (scratch.path().join("own"), scratch.path().join("others"));
        fs::create_dir_all(own.join("deep")).unwrap();
        fs::create_dir(&others).unwrap();
        fs::write(others.join("kept"), "kept").unwrap();
        std::os::unix::fs::symlink(&others, own.join("deep/link")).unwrap();
        wipe(&own).unwrap();
        assert!(!own.exists() && others.join("kept").exists());
        wipe(&own).unwrap();
    }
}
