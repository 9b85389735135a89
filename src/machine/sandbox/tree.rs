//! The file system of a sandbox: the host's file system, read-only, except for some paths that are different in the
//! sandbox.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::{Context, Mount, Sandbox, SetupError};
use crate::machine::{open_in, path_of};

/// The folders that start empty.
const PRIVATE: [&str; 5] = ["/tmp", "/run", "/var/lib", "/var/run", "/var/log"];
/// The available devices.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
/// The parts of `/proc` that belong to the host and are writable by its root.
const PROC_READ_ONLY: [&str; 7] = ["acpi", "bus", "fs", "irq", "scsi", "sys", "sysrq-trigger"];
/// The options of a `tmpfs`. Its size is limited, so that programs can't fill the memory.
const OPTIONS: &CStr = c"mode=0755,size=64m";
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Enters the file system of `sandbox`.
pub(super) fn enter(sandbox: &Sandbox) -> Result<(), SetupError> {
    let root = &sandbox.root;
    let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", propagation).context("make mounts private")?;
    protect_host()?;
    tmpfs(root)?;
    // Keeps recursive bind mounts from copying this mount into itself.
    mount_change(root, MountPropagationFlags::UNBINDABLE)
        .context(format_args!("change the mount {}", root.display()))?;
    plan(sandbox)?.create(Some(Path::new("/")), root)?;
    if sandbox.read_only {
        restrict(root, MountFlags::RDONLY)?;
    }
    let switch = || {
        chdir(root)?;
        pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        chdir("/")
    };
    switch().context("change the root")
}

/// The paths whose content differs from the host's, each with its content.
fn plan(sandbox: &Sandbox) -> Result<Node, SetupError> {
    let mut tree = Node::default();
    for path in PRIVATE {
        tree.insert(Path::new(path), Content::Private)?;
    }
    tree.insert(Path::new("/dev"), Content::Devices)?;
    tree.insert(Path::new("/proc"), Content::Processes)?;
    for (path, text) in &sandbox.files {
        tree.insert(path, Content::Text(text.clone()))?;
    }
    // The runner has to be visible, too, because the program may be a script that starts the runner.
    let runner = std::env::current_exe().context("find the runner")?;
    let mut mounts = Vec::new();
    for program in [&sandbox.program, &runner] {
        let source = resolve(program).context(format_args!("find {}", program.display()))?;
        if PRIVATE.iter().any(|private| source.starts_with(private)) {
            mounts.push(Mount {
                root: "/".into(),
                source,
                target: program.clone(),
                read_only: true,
            });
        }
    }
    for mount in mounts.iter().chain(&sandbox.mounts) {
        tree.insert(&mount.target, Content::Host(mount.clone()))?;
    }
    Ok(tree)
}

/// A path whose content differs from the host's, or a parent of such a path.
#[derive(Default)]
struct Node {
    /// If `None`, the host's folder, except for the entries in `below`.
    content: Option<Content>,
    below: BTreeMap<OsString, Node>,
}

enum Content {
    /// An empty folder.
    Private,
    Devices,
    Processes,
    Text(String),
    Host(Mount),
}

impl Node {
    fn insert(&mut self, path: &Path, content: Content) -> Result<(), SetupError> {
        let path = resolve(path).context(format_args!("resolve {}", path.display()))?;
        let mut node = self;
        for part in path.components() {
            if let Component::Normal(name) = part {
                node = node.below.entry(name.to_owned()).or_default();
            }
        }
        node.content = Some(content);
        Ok(())
    }

    /// Creates this node at `place`. `host` is the same path on the host; `None` below a folder that isn't the host's.
    fn create(&self, host: Option<&Path>, place: &Path) -> Result<(), SetupError> {
        let action = format!("create {}", place.display());
        match &self.content {
            None => {
                folder(place, 0o755).context(&action)?;
                if let Some(host) = host {
                    self.bind_others(host, place)?;
                }
            }
            Some(Content::Private) => folder(place, 0o1777).context(&action)?,
            Some(Content::Devices) => devices(place)?,
            Some(Content::Processes) => processes(place)?,
            Some(Content::Text(text)) => fs::write(place, text).context(&action)?,
            Some(Content::Host(mount)) => {
                bind_volume(mount, place)?;
                // Otherwise, a link in it could lead out of the sandbox while mount points below it are created.
                restrict(place, MountFlags::NOSYMFOLLOW)?;
            }
        }
        let host = host.filter(|_| self.content.is_none());
        for (name, node) in &self.below {
            let host = host.map(|host| host.join(name));
            node.create(host.as_deref(), &place.join(name))?;
        }
        if let Some(Content::Host(mount)) = &self.content {
            let mut restrictions = MountFlags::empty();
            restrictions.set(MountFlags::RDONLY, mount.read_only);
            restrict(place, restrictions)?;
        }
        Ok(())
    }

    /// Bind-mounts the content of the host's folder `host`, except for what is in `below`.
    fn bind_others(&self, host: &Path, place: &Path) -> Result<(), SetupError> {
        // A folder that can't be read or doesn't exist counts as empty.
        for entry in fs::read_dir(host).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !self.below.contains_key(&name) {
                bind(&entry.path(), &place.join(name))?;
            }
        }
        Ok(())
    }
}

/// The path with all links resolved, even if a part of it doesn't exist.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(error);
            };
            Ok(resolve(parent)?.join(name))
        }
        other => other,
    }
}

/// Bind-mounts `source` of the host at `place`, including everything mounted in it. A link stays a link.
fn bind(source: &Path, place: &Path) -> Result<(), SetupError> {
    let action = format!("mount {} at {}", source.display(), place.display());
    let kind = fs::symlink_metadata(source).context(&action)?.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(source).context(&action)?;
        return symlink(target, place).context(&action);
    }
    attach(source, kind.is_dir(), place).context(&action)
}

/// Bind-mounts a file or folder of a volume at `place`.
fn bind_volume(mount: &Mount, place: &Path) -> Result<(), SetupError> {
    let source = mount.root.join(&mount.source);
    let action = format!("mount {} at {}", source.display(), place.display());
    let file = open_in(&mount.root, &mount.source).context(&action)?;
    let is_folder = file.metadata().context(&action)?.is_dir();
    attach(&path_of(&file), is_folder, place).context(&action)
}

/// Bind-mounts the file or folder `source` at `place`, which is created if it doesn't exist.
fn attach(source: &Path, is_folder: bool, place: &Path) -> io::Result<()> {
    if is_folder {
        folder(place, 0o755)?;
        mount_bind_recursive(source, place)?;
    } else {
        if fs::symlink_metadata(place).is_err() {
            File::create(place)?;
        }
        mount_bind(source, place)?;
    }
    Ok(())
}

fn folder(path: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists && fs::metadata(path)?.is_dir() =>
        {
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
    }
}

fn devices(place: &Path) -> Result<(), SetupError> {
    let action = format!("create {}", place.display());
    folder(place, 0o755).context(&action)?;
    for name in DEVICES {
        bind(&Path::new("/dev").join(name), &place.join(name))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, place.join(name)).context(&action)?;
    }
    let shared = place.join("shm");
    folder(&shared, 0o755).context(&action)?;
    tmpfs(&shared)
}

/// Mounts the processes of the sandbox. The parts of `/proc` that belong to the host are read-only.
fn processes(place: &Path) -> Result<(), SetupError> {
    let action = format!("mount {}", place.display());
    folder(place, 0o755).context(&action)?;
    mount("proc", place, "proc", FLAGS | MountFlags::NOEXEC, None).context(&action)?;
    for name in PROC_READ_ONLY {
        let path = place.join(name);
        if path.exists() {
            mount_bind(&path, &path).context(&action)?;
            restrict(&path, MountFlags::RDONLY)?;
        }
    }
    Ok(())
}

fn tmpfs(place: &Path) -> Result<(), SetupError> {
    mount("tmpfs", place, "tmpfs", FLAGS, OPTIONS).context(format_args!(
        "mount a private folder at {}",
        place.display()
    ))
}

/// Makes all mounts of the host read-only in this namespace, except for mounts that the sandbox can't see.
fn protect_host() -> Result<(), SetupError> {
    const TABLE: &str = "/proc/self/mountinfo";
    const POINT: usize = 4;
    let table = fs::read(TABLE).context(format_args!("read {TABLE}"))?;
    for line in table.split(|byte| *byte == b'\n') {
        let Some(point) = line.split(|byte| *byte == b' ').nth(POINT) else {
            continue;
        };
        let point = unescaped(point);
        let hidden = PRIVATE.iter().chain(&["/dev", "/proc"]);
        if hidden.into_iter().any(|hidden| point.starts_with(hidden)) {
            continue;
        }
        match flags(&point, MountFlags::RDONLY).and_then(|flags| mount_remount(&point, flags, "")) {
            // Mounts that this user can't access can't be accessed from the sandbox, either.
            Ok(()) | Err(Errno::ACCESS | Errno::NOENT) => {}
            Err(error) => {
                return Err(error).context(format_args!("protect {}", point.display()));
            }
        }
    }
    Ok(())
}

/// The path that `point` stands for in the kernel's notation, in which `\040` is a space.
fn unescaped(point: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(point.len());
    let mut rest = point;
    while let [first, after @ ..] = rest {
        let digits = after
            .get(..3)
            .and_then(|digits| str::from_utf8(digits).ok());
        let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal.filter(|_| *first == b'\\') {
            path.push(byte);
            rest = &after[3..];
        } else {
            path.push(*first);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

/// Gives a mount the flags `restrictions`, and removes its other restrictions.
fn restrict(place: &Path, restrictions: MountFlags) -> Result<(), SetupError> {
    flags(place, restrictions)
        .and_then(|flags| mount_remount(place, flags, ""))
        .context(format_args!("change the mount {}", place.display()))
}

/// The flags for remounting an existing mount. `NOEXEC` is kept, because it can't be removed in a user namespace.
fn flags(place: &Path, restrictions: MountFlags) -> rustix::io::Result<MountFlags> {
    let mut flags = MountFlags::BIND | FLAGS | restrictions;
    let present = statvfs(place)?.f_flag;
    flags.set(
        MountFlags::NOEXEC,
        present.contains(StatVfsMountFlags::NOEXEC),
    );
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_the_kernels_notation_are_parsed() {
        for (written, path) in [
            ("/mnt/a\\040b", "/mnt/a b"),
            ("/mnt/a\\134040", "/mnt/a\\040"),
            ("/mnt/a", "/mnt/a"),
        ] {
            assert_eq!(unescaped(written.as_bytes()), Path::new(path));
        }
    }

    #[test]
    fn a_missing_path_is_resolved_through_its_parents() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().canonicalize().unwrap();
        fs::create_dir(own.join("run")).unwrap();
        symlink("run", own.join("link")).unwrap();
        assert_eq!(
            resolve(&own.join("link/plexd/socket")).unwrap(),
            own.join("run/plexd/socket")
        );
    }
}
