//! Deadlines, which limit every wait in this crate. They pause while the process is stopped.
//!
//! A process isn't always notified before it is stopped: Ctrl-Z sends a signal that can be caught, but nothing
//! announces SIGSTOP or a suspended machine. Therefore a thread updates the clock at short intervals, and a gap between
//! two updates counts as at most one second.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often the thread updates the clock.
const TICK: Duration = Duration::from_millis(100);
/// The maximum time that counts for a gap between two updates. Even on a busy machine, gaps are shorter than this while
/// the process runs.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// The running time of a run, without the time during which the process was stopped. Clones share one clock.
#[derive(Clone, Debug)]
pub struct RunClock(Arc<Mutex<Pulse>>);

/// The time counted so far, and when it was last updated.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    counted: Duration,
    at: Instant,
    longest_gap: Duration,
}

impl Pulse {
    fn new(now: Instant, longest_gap: Duration) -> Self {
        Self {
            counted: Duration::ZERO,
            at: now,
            longest_gap,
        }
    }

    /// The time counted so far, plus at most [`LONGEST_GAP`] since the last update: a timer that fires right after the
    /// process continues must not see the whole pause.
    fn elapsed(&self, now: Instant) -> Duration {
        let gap = now.saturating_duration_since(self.at);
        self.counted.saturating_add(gap.min(self.longest_gap))
    }

    fn tick(&mut self, now: Instant) {
        self.counted = self.elapsed(now);
        self.at = self.at.max(now);
    }
}

impl Default for RunClock {
    fn default() -> Self {
        Self::new()
    }
}

impl RunClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        let pulse = Arc::new(Mutex::new(Pulse::new(Instant::now(), LONGEST_GAP)));
        let weak = Arc::downgrade(&pulse);
        let thread = thread::Builder::new().name("clock".to_owned());
        if let Err(error) = thread.spawn(move || keep_ticking(&weak)) {
            // Without the thread, the clock would stop after one second, and deadlines would never pass. Deadlines that
            // don't pause while the process is stopped are better.
            tracing::warn!(%error, "deadlines will not pause while the run is stopped");
            pulse.lock().longest_gap = Duration::MAX;
        }
        Self(pulse)
    }

    /// The running time of the run so far.
    pub fn elapsed(&self) -> Duration {
        self.0.lock().elapsed(Instant::now())
    }

    /// A deadline that passes after `budget` of running time from now.
    pub fn deadline(&self, budget: Duration) -> Deadline {
        Deadline {
            clock: self.clone(),
            budget,
            end: self.elapsed().saturating_add(budget),
        }
    }
}

/// Updates the clock until the last handle to the clock is dropped.
fn keep_ticking(pulse: &Weak<Mutex<Pulse>>) {
    while let Some(pulse) = pulse.upgrade() {
        pulse.lock().tick(Instant::now());
        drop(pulse);
        thread::sleep(TICK);
    }
}

/// The point in a run's running time by which something must have happened.
#[derive(Clone, Debug)]
pub struct Deadline {
    clock: RunClock,
    budget: Duration,
    end: Duration,
}

/// The error if a deadline passed before the awaited event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {}", humantime::format_duration(*.budget))]
pub struct TimedOut {
    /// The budget of the deadline.
    pub budget: Duration,
}

impl Deadline {
    /// The budget that the deadline was created with.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// The remaining time; zero after the deadline has passed.
    pub fn remaining(&self) -> Duration {
        self.end.saturating_sub(self.clock.elapsed())
    }

    /// Whether the deadline has passed.
    pub fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// A deadline on the same clock that passes after `budget`, but no later than this one.
    #[must_use]
    pub fn within(&self, budget: Duration) -> Self {
        self.clock.deadline(budget.min(self.remaining()))
    }

    /// Returns when the deadline has passed.
    pub async fn passed(&self) {
        loop {
            let remaining = self.remaining();
            if remaining.is_zero() {
                return;
            }
            // If the process was stopped in the meantime, this sleep ends too early, and the loop sleeps again. It
            // never ends too late.
            tokio::time::sleep(remaining).await;
        }
    }

    /// Runs `future` until it completes or the deadline passes, whichever happens first.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output, TimedOut> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.passed() => Err(TimedOut { budget: self.budget }),
        }
    }
}

/// A duration in whole milliseconds, the unit of durations in events.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn passes_after_its_budget() {
        let budget = Duration::from_millis(50);
        let before = Instant::now();
        let deadline = RunClock::new().deadline(budget);
        let result = deadline.run(std::future::pending::<()>()).await;
        assert_eq!(result, Err(TimedOut { budget }));
        assert!(before.elapsed() >= budget);
        assert!(deadline.has_passed());
    }

    #[test]
    fn time_between_regular_updates_is_counted_in_full() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start, LONGEST_GAP);
        for tick in 1..=600 {
            pulse.tick(start + TICK * tick);
        }
        assert_eq!(pulse.elapsed(start + TICK * 600), SECOND * 60);
        assert_eq!(
            pulse.elapsed(start + TICK * 605),
            SECOND * 60 + SECOND / 2,
            "a late update loses no time"
        );
    }

    #[test]
    fn a_pause_of_the_process_counts_as_at_most_one_second() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start, LONGEST_GAP);
        let awake = start + SECOND * 3600;
        assert_eq!(pulse.elapsed(awake), LONGEST_GAP, "before the first update");
        pulse.tick(awake);
        assert_eq!(pulse.elapsed(awake), LONGEST_GAP, "and after it");
        pulse.tick(awake + TICK);
        assert_eq!(pulse.elapsed(awake + TICK), LONGEST_GAP + TICK);
    }

    #[test]
    fn a_late_update_never_turns_the_clock_back() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start, LONGEST_GAP);
        pulse.tick(start + TICK);
        pulse.tick(start);
        assert_eq!(pulse.elapsed(start + TICK), TICK);
    }

    #[test]
    fn a_deadline_within_another_never_passes_later() {
        let whole = RunClock::new().deadline(SECOND);
        assert!(whole.within(SECOND * 9).remaining() <= SECOND);
        assert!(whole.within(SECOND / 2).remaining() <= SECOND / 2);
    }

    #[test]
    fn a_budget_of_any_length_is_accepted() {
        let deadline = RunClock::new().deadline(Duration::MAX);
        assert!(!deadline.has_passed());
        assert!(!deadline.within(Duration::MAX).has_passed());
    }

    #[test]
    fn the_thread_ends_with_its_clock() {
        let clock = RunClock::new();
        let pulse = Arc::downgrade(&clock.0);
        drop(clock);
        keep_ticking(&pulse);
    }
}
