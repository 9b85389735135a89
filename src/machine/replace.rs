//! Files that are written whole or not at all.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;

/// What tells this process from every other, also from a later one with the same id.
pub(super) static PROCESS: LazyLock<String> =
    LazyLock::new(|| format!("{:016x}", rand::random::<u64>()));

/// How the names of files begin that are to become reports; [`PROCESS`] and a dash follow.
pub(crate) const TEMPORARY: &str = ".report-";

/// Puts `text` at `path` under a temporary name beside it, then renames, so that no reader sees half of it. What is no
/// regular file, such as a pipe, is written to as it is.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::write(path, text);
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(&format!("{TEMPORARY}{}-", *PROCESS))
        // What the user's umask leaves, as for any other new file: CI servers read it under another account.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_replaces_the_one_before_and_can_be_read_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, "first").unwrap();
        replace(&path, "second").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
        let by_hand = folder.path().join("b");
        std::fs::write(&by_hand, "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&by_hand));
    }

    #[test]
    fn what_is_no_file_stays_what_it_is() {
        replace(Path::new("/dev/null"), "text").unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }
}
