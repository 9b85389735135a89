//! Interruption of a run: after the first signal, cells are cleaned up; after the second one, they are not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::deadline::RunClock;
use crate::event::Termination;
use crate::matrix::Phase;

/// Why a cell was not cleaned up.
pub(super) const ABORTED: &str =
    "aborted by a second signal; run `e2e-matrix gc` to delete the remaining resources";

/// The maximum time for which a run is held.
const HOLD_LIMIT: Duration = Duration::from_secs(600);

/// The interruption of a run, and the signal that caused it. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Interruption {
    /// Cancelled by the first signal.
    pub token: CancellationToken,
    /// Cancelled by a second signal, after which nothing is cleaned up.
    pub forced: CancellationToken,
    by: Arc<OnceLock<Termination>>,
    signalled: Arc<AtomicBool>,
    held: Option<Phase>,
}

impl Interruption {
    /// An interruption that holds the run in `phase`, so that a test can send a signal at that point.
    pub fn held_at(phase: Option<Phase>) -> Self {
        Self {
            held: phase,
            ..Self::default()
        }
    }

    /// Interrupts the run. [`Self::by`] returns the first cause. A second signal aborts cleanup; a run timeout doesn't
    /// count as a signal.
    pub fn interrupt(&self, by: Termination) {
        self.by.get_or_init(|| by);
        let is_signal = match by {
            Termination::Interrupt | Termination::Terminate => true,
            Termination::RunTimeout => false,
        };
        if is_signal && self.signalled.swap(true, Ordering::Relaxed) {
            self.forced.cancel();
        }
        self.token.cancel();
    }

    /// The signal, or the run timeout, that interrupted the run.
    pub fn by(&self) -> Option<Termination> {
        self.by.get().copied()
    }

    /// Returns immediately, unless the run is to be held in `phase`. In that case, calls `notify` and waits for the
    /// first signal, for at most ten minutes.
    pub async fn hold(&self, phase: Phase, clock: &RunClock, notify: impl FnOnce(String)) {
        if self.held == Some(phase) {
            notify(format!("held in `{phase}` until a signal arrives"));
            let limit = clock.deadline(HOLD_LIMIT);
            if limit.run(self.token.cancelled()).await.is_err() {
                tracing::warn!(%phase, "no signal arrived: the run continues");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_run_timeout_the_first_signal_does_not_abort_cleanup() {
        let interruption = Interruption::default();
        interruption.interrupt(Termination::RunTimeout);
        interruption.interrupt(Termination::Interrupt);
        assert!(!interruption.forced.is_cancelled());
        interruption.interrupt(Termination::Interrupt);
        assert!(interruption.forced.is_cancelled());
        assert_eq!(interruption.by(), Some(Termination::RunTimeout));
    }
}
