//! How many files this process and its children may have open at once.

use std::fs::File;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as are ever needed. Some programs take time for each file that they might have open.
const ENOUGH: u64 = 65_536;
/// What is kept back for clean-up, if the limit leaves enough beside it.
const RESERVE: u64 = 64;

/// Raises the soft limit, which children inherit, towards the hard one, and keeps a reserve for clean-up. Returns the soft
/// limit; none if there is none.
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

/// Lets clean-up have the reserve if this process can't open as many files as the removal of a folder takes.
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
