//! Recognizes a limit of the machine as the cause of a failure, so that the engine or the import that fails isn't
//! blamed.

use crate::event::{Failure, Symptom};

/// The operating system's message about a full disk, in lower case. Some programs capitalize it.
pub(super) const FULL: &str = "no space left on device";
/// Words in the engine's messages if no subnet is left for a network.
pub(super) const NO_POOL: &str = "address pool";

/// What to do about a full disk.
pub(super) const DISK_REMEDY: &str =
    "free some disk space, for example with `docker system prune` or `e2e-matrix gc --all`";
/// What to do if the engine has no address pool left.
pub(super) const POOL_REMEDY: &str = "delete unused networks with `docker network prune`, or widen `default-address-pools` in the engine's configuration";
/// What to do if the inotify limits are too low.
pub(super) const INOTIFY_REMEDY: &str = "raise the inotify limits: `sudo sysctl fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288`";

/// Gives `failure` the symptom and remedy of a limit if its message says that the disk is full or that no address pool
/// is left. Otherwise, returns it unchanged.
pub(super) fn diagnose(failure: Failure) -> Failure {
    let message = failure.message.to_lowercase();
    let remedy = if message.contains(FULL) {
        DISK_REMEDY
    } else if message.contains(NO_POOL) {
        POOL_REMEDY
    } else {
        return failure;
    };
    Failure::new(Symptom::MachineTooSmall, failure.message).with_remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_cause_of_any_failure_that_names_it() {
        for (message, remedy) in [
            (
                "the engine failed: Error processing tar file: write /a: no space left on device",
                Some(DISK_REMEDY),
            ),
            (
                "tar: /a: Cannot write: No space left on device",
                Some(DISK_REMEDY),
            ),
            (
                "failed to create the Docker network `kind`: could not find an available, non-overlapping IPv4 address pool",
                Some(POOL_REMEDY),
            ),
            (
                "failed to create the Docker network `kind`: all predefined address pools have been fully subnetted",
                Some(POOL_REMEDY),
            ),
            ("the engine failed: connection refused", None),
        ] {
            let failure = diagnose(Failure::new(Symptom::EngineGone, message));
            let is_limit = failure.symptom == Symptom::MachineTooSmall;
            assert_eq!(is_limit, remedy.is_some(), "{message}");
            assert_eq!(failure.remedy.as_deref(), remedy, "{message}");
        }
    }
}
