//! The machine's capacity, as the kernel reports it.

use std::fs;
use std::io;
use std::path::Path;

use procfs::process::{FDTarget, Process, all_processes};
use procfs::{Current, Meminfo};

/// The number of processors that this process may use.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The machine's memory; `None` if the kernel doesn't report it.
pub fn memory() -> Option<Memory> {
    let info = Meminfo::current().ok()?;
    Some(Memory {
        total: info.mem_total,
        available: info.mem_available?,
    })
}

/// A machine's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Total memory.
    pub total: u64,
    /// Memory available to new programs without swapping.
    pub available: u64,
}

/// The bytes that the user can still write to the file system that contains `path`.
pub fn free_disk(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// The machine's inotify limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inotify {
    /// `fs.inotify.max_user_instances`.
    pub instances: u64,
    /// `fs.inotify.max_user_watches`.
    pub watches: u64,
}

/// The machine's inotify limits; `None` if the kernel doesn't report them.
pub fn inotify() -> Option<Inotify> {
    let read = |name: &str| -> Option<u64> {
        let path = format!("/proc/sys/fs/inotify/{name}");
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    Some(Inotify {
        instances: read("max_user_instances")?,
        watches: read("max_user_watches")?,
    })
}

/// The inotify instances in use by root, whose programs run in containers; `None` if this process may not read them.
pub fn inotify_in_use() -> Option<u64> {
    // A process that may read the descriptors of the first process may read those of all processes.
    Process::new(1).and_then(|first| first.fd()).ok()?;
    let processes = all_processes().ok()?.flatten();
    let of_root = processes.filter(|process| process.uid().is_ok_and(|user| user == 0));
    // A process that has ended has no descriptors.
    let files = of_root.filter_map(|process| process.fd().ok()).flatten();
    let instances = files
        .flatten()
        .filter(|file| matches!(&file.target, FDTarget::AnonInode(kind) if kind == "inotify"));
    u64::try_from(instances.count()).ok()
}

/// The machine's host name.
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The operating system and architecture, such as `linux x86_64`.
pub fn platform() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The path of a program: a bare name is looked up in `$PATH`, anything else is relative to `folder`.
///
/// # Errors
/// The reason why the program can't be run, in one sentence.
pub fn program(named: &Path, folder: &Path) -> Result<std::path::PathBuf, String> {
    if named.components().count() == 1 && named.is_relative() {
        return which::which(named)
            .map_err(|_| format!("there is no program `{}` on the PATH", named.display()));
    }
    let path = folder.join(named);
    match fs::metadata(&path) {
        Err(error) => Err(format!(
            "failed to find the program {}: {error}",
            path.display()
        )),
        Ok(data) if !data.is_file() => Err(format!("{} is not a file", path.display())),
        Ok(_) if which::which(&path).is_err() => {
            Err(format!("{} is not executable", path.display()))
        }
        Ok(_) => Ok(path),
    }
}
