//! Folders with content from untrusted programs: no link in such a folder leads the runner out of it, and no missing
//! permission prevents its deletion.

use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat2};
use rustix::io::Errno;

/// Opens the file or folder at `path` in the folder `root`. The result only refers to that file or folder: it can't be
/// used to read or write. Links are resolved as if `root` were the root folder.
pub fn open_in(root: &Path, path: &Path) -> io::Result<File> {
    Ok(resolve(&folder(root)?, path, OFlags::empty())?.into())
}

/// Creates the folder `path` and its parents in the folder `root`, private to the user. Links are resolved as if `root`
/// were the root folder.
pub fn create_in(root: &Path, path: &Path) -> io::Result<()> {
    let top = folder(root)?;
    let mut created = PathBuf::new();
    let mut parent = resolve(&top, &created, OFlags::DIRECTORY)?;
    for name in path {
        let made = mkdirat(&parent, name, Mode::RWXU);
        created.push(name);
        let place = root.join(&created);
        let place = place.display();
        if let Err(error) = made
            && error != Errno::EXIST
        {
            return Err(with_context(place, error));
        }
        parent = resolve(&top, &created, OFlags::DIRECTORY).map_err(|error| {
            let root = root.display();
            let problem = "is neither a folder nor a link to a folder in";
            with_context(format_args!("{place} {problem} {root}"), error)
        })?;
    }
    Ok(())
}

fn with_context(context: impl Display, error: Errno) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{context}: {error}"))
}

fn folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty())
}

fn resolve(root: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    // With the dot, an empty path is `root` itself.
    let path = Path::new(".").join(path);
    let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
    let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root, &path, flags, Mode::empty(), confined) {
            // Something was renamed while the kernel resolved `..`.
            Err(Errno::AGAIN) => {}
            resolved => return resolved,
        }
    }
}

/// A path that leads to `file` as long as `file` is open, wherever the file is.
pub fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Deletes the folder `path` with everything in it. If the permissions of a folder in it prevent that, changes them
/// first. Links are deleted, not followed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // Errors of this step don't matter: if permissions still prevent the deletion, it fails again.
            drop(make_accessible(path));
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

/// Gives the user access to the folder `path` and, as far as possible, to all folders in it.
fn make_accessible(path: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = File::from(open(path, flags, Mode::empty())?);
    // The path of the open folder can't become a link in the meantime.
    let path = path_of(&folder);
    let mut permissions = folder.metadata()?.permissions();
    permissions.set_mode(permissions.mode() | 0o700);
    fs::set_permissions(&path, permissions)?;
    for entry in fs::read_dir(&path)?.flatten() {
        if entry.file_type()?.is_dir() {
            drop(make_accessible(&entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{chown, symlink};

    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    use super::*;

    #[test]
    fn no_link_leads_out_of_the_folder() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, other) = (inside.path(), outside.path());
        fs::write(other.join("secret"), "").unwrap();
        symlink(other, root.join("absolute")).unwrap();
        symlink("../".repeat(32), root.join("up")).unwrap();
        symlink("/real", root.join("own")).unwrap();

        let error = create_in(root, Path::new("absolute/below")).unwrap_err();
        assert!(
            error.to_string().contains("/absolute is neither"),
            "{error}"
        );
        open_in(root, Path::new("absolute/secret")).unwrap_err();
        create_in(root, Path::new("up/top")).unwrap();
        create_in(root, Path::new("real/a")).unwrap();
        create_in(root, Path::new("own/b")).unwrap();

        assert!(root.join("top").is_dir());
        assert!(root.join("real/b").is_dir());
        assert_eq!(fs::read_dir(other).unwrap().count(), 1);
        for (path, expected) in [("", ""), ("up", ""), ("own/a", "real/a")] {
            let opened = open_in(root, Path::new(path)).unwrap();
            let expected = root.join(expected).canonicalize().unwrap();
            assert_eq!(fs::read_link(path_of(&opened)).unwrap(), expected, "{path}");
        }
    }

    /// Drops the capabilities with which root ignores permissions, for this thread only.
    fn respect_permissions() {
        let mut own = capabilities(None).unwrap();
        let rights =
            CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::FOWNER;
        own.effective.remove(rights);
        set_capabilities(None, own).unwrap();
    }

    #[test]
    fn folders_without_permissions_are_deleted_and_links_are_not_followed() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (tree, other) = (inside.path().join("tree"), outside.path().to_owned());
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        let closed = tree.join("read-only/closed");
        fs::create_dir_all(&closed).unwrap();
        fs::write(closed.join("file"), "").unwrap();
        symlink(&other, closed.join("link")).unwrap();
        // Only root can give a folder to another user, who is then the only one that can change its permissions.
        let foreign = tree.join("read-only/foreign");
        fs::create_dir(&foreign).unwrap();
        set_mode(&foreign, 0o755);
        drop(chown(&foreign, Some(1), Some(1)));
        set_mode(&closed, 0o000);
        set_mode(&tree.join("read-only"), 0o555);
        set_mode(&other, 0o555);

        let removing = std::thread::spawn(move || {
            respect_permissions();
            remove_tree(&tree).unwrap();
            assert!(!tree.exists());
        });
        removing.join().unwrap();

        let mode = fs::metadata(&other).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555);
    }
}
