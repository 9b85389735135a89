//! What ends a run early: a first signal, after which cells are cleaned up, and a second one, after which they are not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::deadline::RunClock;
use crate::event::Termination;
use crate::matrix::Phase;

/// Why a cell was not cleaned up.
pub(super) const GIVEN_UP: &str =
    "given up at a second signal: what is left is removed by `e2e-matrix gc`";

/// How long a run is held at the most.
const HOLD_LIMIT: Duration = Duration::from_secs(600);

/// What ends a run before its cells have ended, and by which signal. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Interruption {
    /// Cancelled once there was a signal.
    pub token: CancellationToken,
    /// Cancelled once there was a second one: nothing is cleaned up any more.
    pub forced: CancellationToken,
    by: Arc<OnceLock<Termination>>,
    signalled: Arc<AtomicBool>,
    held: Option<Phase>,
}

impl Interruption {
    /// One that first holds the run in `phase`, so that a signal can be sent in the middle of it. For tests of the runner.
    pub fn held_at(phase: Option<Phase>) -> Self {
        Self {
            held: phase,
            ..Self::default()
        }
    }

    /// Ends everything that listens. What comes first counts; a second signal gives clean-up up. A time that was up is no signal.
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

    /// The signal, or the time that was up, where there was one.
    pub fn by(&self) -> Option<Termination> {
        self.by.get().copied()
    }

    /// Ends at the first signal, or after ten minutes, where the run is to be held in `phase`; at once where it is not. `say` is told.
    pub fn hold(
        &self,
        phase: Phase,
        clock: RunClock,
        say: impl FnOnce(String) + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let is_held = self.held == Some(phase);
        let token = self.token.clone();
        async move {
            if is_held {
                say(format!("held in `{phase}` until a signal comes"));
                let limit = clock.deadline(HOLD_LIMIT);
                if limit.run(token.cancelled()).await.is_err() {
                    tracing::warn!(%phase, "no signal came: the run goes on");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_after_a_time_that_was_up_still_lets_cells_be_cleaned_up() {
        let interruption = Interruption::default();
        interruption.interrupt(Termination::RunTimeout);
        interruption.interrupt(Termination::Interrupt);
        assert!(!interruption.forced.is_cancelled());
        interruption.interrupt(Termination::Interrupt);
        assert!(interruption.forced.is_cancelled());
        assert_eq!(interruption.by(), Some(Termination::RunTimeout));
    }
}
