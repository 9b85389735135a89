//! Recognizes a full disk as the cause of a failure, so that the engine or the import that fails isn't blamed.

use crate::event::{Failure, Symptom};

/// The operating system's message, in lower case. Some programs capitalize it.
pub(super) const FULL: &str = "no space left on device";

/// What to do about a full disk.
pub(super) const REMEDY: &str =
    "free some disk space, for example with `docker system prune` or `e2e-matrix gc --all`";

/// Gives `failure` the symptom and remedy of a full disk if its message says that the disk is full. Otherwise, returns
/// it unchanged.
pub(super) fn diagnose(failure: Failure) -> Failure {
    if failure.message.to_lowercase().contains(FULL) {
        Failure::new(Symptom::MachineTooSmall, failure.message).with_remedy(REMEDY)
    } else {
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_the_cause_whatever_fails() {
        for (message, symptom) in [
            (
                "the engine failed: Error processing tar file: write /a: no space left on device",
                Symptom::MachineTooSmall,
            ),
            (
                "tar: /a: Cannot write: No space left on device",
                Symptom::MachineTooSmall,
            ),
            ("the engine failed: connection refused", Symptom::EngineGone),
        ] {
            let failure = diagnose(Failure::new(Symptom::EngineGone, message));
            assert_eq!(failure.symptom, symptom, "{message}");
            let is_full = symptom == Symptom::MachineTooSmall;
            assert_eq!(failure.remedy.is_some(), is_full, "{message}");
        }
    }
}
