//! Thaws frozen processes in a node. Frozen processes keep the node's container from ending.
//!
//! On cgroup v1, runc briefly freezes a pod's cgroup whenever it changes the cgroup. If a node is killed at that
//! moment, a frozen process remains, which can't be killed, and the engine stops waiting for the container to end. On
//! cgroup v2, frozen processes can be killed.

use std::fs;
use std::io;
use std::path::Path;

const FREEZER: &str = "/sys/fs/cgroup/freezer";

/// The file that shows and sets whether a cgroup is frozen, and the value that thaws it.
const STATE: &str = "freezer.state";
const THAWED: &str = "THAWED";

/// Thaws all frozen cgroups of the container `id`. Does nothing if the hierarchy doesn't exist or isn't writable.
pub(super) fn thaw(id: &str) {
    // The folder depends on the engine's cgroup driver.
    let folders = [
        format!("docker/{id}"),
        format!("system.slice/docker-{id}.scope"),
    ];
    for folder in folders {
        match thaw_below(&Path::new(FREEZER).join(folder)) {
            Ok(0) => {}
            Ok(count) => tracing::info!(container = id, count, "thawed frozen processes"),
            Err(error) => {
                tracing::debug!(container = id, %error, "failed to thaw frozen processes");
            }
        }
    }
}

/// Thaws the cgroup `folder` and all cgroups below it. Returns how many were frozen.
fn thaw_below(folder: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // The cgroup was removed in the meantime, as intended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut count = 0;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            count += thaw_below(&entry.path())?;
        }
    }
    let state = folder.join(STATE);
    if fs::read_to_string(&state).is_ok_and(|state| state.trim() != THAWED) {
        fs::write(&state, THAWED)?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_cgroups_are_thawed_and_others_stay_unchanged() {
        let root = tempfile::tempdir().unwrap();
        let pod = root.path().join("kubelet.slice/pod.slice");
        fs::create_dir_all(&pod).unwrap();
        fs::write(pod.join(STATE), "FROZEN\n").unwrap();
        fs::write(root.path().join(STATE), "THAWED\n").unwrap();
        assert_eq!(thaw_below(root.path()).unwrap(), 1);
        assert_eq!(fs::read_to_string(pod.join(STATE)).unwrap(), THAWED);
        assert_eq!(thaw_below(root.path()).unwrap(), 0);
    }

    #[test]
    fn a_missing_hierarchy_is_not_an_error() {
        assert_eq!(thaw_below(Path::new("/no/such/folder")).unwrap(), 0);
    }
}
