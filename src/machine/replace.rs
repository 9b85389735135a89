//! Files that are written completely or not at all.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;

use super::private_folder;

/// A value that distinguishes this process from every other process, including a later one with the same id.
pub(super) static PROCESS: LazyLock<String> =
    LazyLock::new(|| format!("{:016x}", rand::random::<u64>()));

/// The prefix of the temporary files, followed by [`PROCESS`] and a dash.
pub(crate) const TEMPORARY: &str = ".e2e-matrix-";
/// The extension of the temporary files.
pub(crate) const UNFINISHED: &str = "part";

/// Replaces the file at `path` with one that contains what `write` writes. If `path` exists but isn't a regular file
/// (for example, a pipe), writes to it directly.
pub fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> io::Result<()> {
    let buffered = |file: &mut File| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()
    };
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return buffered(&mut File::options().write(true).open(path)?);
    }
    // The umask decides who can read the file, as for any other new file: CI servers may read it under another account.
    whole(path, 0o666, buffered)
}

/// Replaces the file at `path` with one that only the user can read, and creates its folder if it doesn't exist.
pub fn replace_private(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    private_folder(folder_of(path))?;
    whole(path, 0o600, write)
}

/// Writes to a temporary file next to `path` and renames it to `path`, so that no reader sees an incomplete file.
fn whole(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(&format!("{TEMPORARY}{}-", *PROCESS))
        .suffix(&format!(".{UNFINISHED}"))
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder_of(path))?;
    write(file.as_file_mut())?;
    file.persist(path)?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_replaces_the_previous_one_and_is_readable_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, |out| out.write_all(b"first")).unwrap();
        replace(&path, |out| out.write_all(b"second")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
        let by_hand = folder.path().join("b");
        std::fs::write(&by_hand, "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&by_hand));
    }

    #[test]
    fn a_path_that_is_not_a_regular_file_is_written_to_directly() {
        replace(Path::new("/dev/null"), |out| out.write_all(b"text")).unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }
}
