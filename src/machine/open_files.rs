//! The open-file limit of this process and its children.

use std::fs::File;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The open-file limit that the runner requests: more than any run needs, but low enough for child processes that
/// iterate over all possible file descriptors.
const ENOUGH: u64 = 65_536;
/// How many open files to hold back for cleanup, if the limit is high enough.
const RESERVE: u64 = 64;

/// Raises the soft limit, which children inherit, as far as the hard limit and `ENOUGH` allow, and holds back a reserve
/// for cleanup. Returns the soft limit; `None` if it is unlimited.
pub fn raise() -> Option<u64> {
    let most = most();
    let usable = if most >= 4 * RESERVE {
        most - RESERVE
    } else {
        most
    };
    let current = getrlimit(Resource::Nofile).current;
    if current.is_some_and(|current| current <= most && current != usable) {
        set(usable);
    }
    getrlimit(Resource::Nofile).current
}

/// Releases the reserve for cleanup if this process can't open as many files as it needs to delete a folder.
pub fn use_reserve() {
    let opened: io::Result<Vec<File>> = (0..RESERVE / 2).map(|_| File::open("/dev/null")).collect();
    if opened.is_err_and(|error| error.raw_os_error() == Some(Errno::MFILE.raw_os_error())) {
        set(most());
    }
}

fn most() -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    maximum.map_or(ENOUGH, |most| most.min(ENOUGH))
}

fn set(current: u64) {
    let limit = Rlimit {
        current: Some(current),
        ..getrlimit(Resource::Nofile)
    };
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "failed to change the limit of open files");
    }
}
