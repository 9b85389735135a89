//! Frozen processes inside a node, which keep its container from ending.
//!
//! On cgroup v1, runc freezes a pod's cgroup for a moment whenever it changes it. A node that is killed in that moment leaves a process
//! that nothing can kill: the engine waits for the container's end, and gives up. On cgroup v2 a frozen process can be killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const FREEZER: &str = "/sys/fs/cgroup/freezer";

/// The file that says and sets whether a cgroup is frozen, and the word that ends it.
const STATE: &str = "freezer.state";
const THAWED: &str = "THAWED";

/// Thaws whatever is frozen in the container `id`. Does nothing where there is no such hierarchy, or no right to write to it.
pub(super) fn thaw(id: &str) {
    // By the two drivers that engines have.
    let folders = [
        format!("docker/{id}"),
        format!("system.slice/docker-{id}.scope"),
    ];
    for folder in folders {
        match thaw_below(&Path::new(FREEZER).join(folder)) {
            Ok(0) => {}
            Ok(count) => tracing::info!(container = id, count, "thawed frozen processes"),
            Err(error) => tracing::debug!(container = id, %error, "failed to thaw"),
        }
    }
}

/// Thaws the cgroups below `folder`. Returns how many were frozen.
fn thaw_below(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // It is going, which is what is wanted.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        let state = folder.join(STATE);
        if fs::read_to_string(&state).is_ok_and(|state| state.trim() != THAWED) {
            fs::write(&state, THAWED)?;
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frozen_is_thawed_and_the_rest_left_alone() {
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
    fn a_hierarchy_that_is_not_there_is_no_error() {
        assert_eq!(thaw_below(Path::new("/no/such/folder")).unwrap(), 0);
    }
}
