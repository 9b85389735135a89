//! Deadlines: the only way in which this crate waits. They pause while the process is stopped.
//!
//! A process doesn't learn that it is about to be stopped: Ctrl-Z can be caught, but SIGSTOP and a suspended machine
//! can't. So a thread updates the clock at short intervals, and any longer gap between two updates counts as one second
//! at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How often the thread updates the clock.
const BEAT: Duration = Duration::from_millis(100);
/// The most that a gap between two updates counts. On a machine that is only busy, updates come sooner than this.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// The running time of a run, without the time during which the process was stopped. Clones share one clock.
#[derive(Clone, Debug)]
pub struct RunClock(Arc<Mutex<Pulse>>);

/// The time counted so far, and when it was counted.
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

    /// Adds at most [`LONGEST_GAP`] for the time since the last update: a timer that fires right after the process
    /// continues must not see the whole pause.
    fn elapsed(&self, now: Instant) -> Duration {
        let gap = now.saturating_duration_since(self.at);
        self.counted.saturating_add(gap.min(self.longest_gap))
    }

    fn beat(&mut self, now: Instant) {
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
        let beating = Arc::downgrade(&pulse);
        let thread = thread::Builder::new().name("clock".to_owned());
        if let Err(error) = thread.spawn(move || keep_beating(&beating)) {
            // If the thread can't be started, deadlines that keep running while the process is stopped are better than
            // deadlines that never pass.
            tracing::warn!(%error, "deadlines do not stand still when the run is stopped");
            lock(&pulse).longest_gap = Duration::MAX;
        }
        Self(pulse)
    }

    /// The running time of the run so far.
    pub fn elapsed(&self) -> Duration {
        lock(&self.0).elapsed(Instant::now())
    }

    /// A deadline after `budget` more running time.
    pub fn deadline(&self, budget: Duration) -> Deadline {
        Deadline {
            clock: self.clone(),
            budget,
            end: self.elapsed().saturating_add(budget),
        }
    }
}

fn lock(pulse: &Mutex<Pulse>) -> MutexGuard<'_, Pulse> {
    pulse.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Updates the clock until it is dropped.
fn keep_beating(pulse: &Weak<Mutex<Pulse>>) {
    while let Some(pulse) = pulse.upgrade() {
        lock(&pulse).beat(Instant::now());
        drop(pulse);
        thread::sleep(BEAT);
    }
}

/// The point in a run's running time by which something must have happened.
#[derive(Clone, Debug)]
pub struct Deadline {
    clock: RunClock,
    budget: Duration,
    end: Duration,
}

/// The deadline passed before the awaited event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {}", humantime::format_duration(*.budget))]
pub struct TimedOut {
    /// How long the wait was.
    pub budget: Duration,
}

impl Deadline {
    /// The budget that the deadline was created with.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// The time that is left; zero after the deadline has passed.
    pub fn remaining(&self) -> Duration {
        self.end.saturating_sub(self.clock.elapsed())
    }

    /// Whether the deadline has passed.
    pub fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// A deadline of the same clock after `budget`, but no later than this one.
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
            // Too short if the process was stopped in the meantime, but never too long.
            tokio::time::sleep(remaining).await;
        }
    }

    /// Runs `future` until it is done or the deadline passes, whichever is first.
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
    fn time_between_regular_updates_counts() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start, LONGEST_GAP);
        for beat in 1..=600 {
            pulse.beat(start + BEAT * beat);
        }
        assert_eq!(pulse.elapsed(start + BEAT * 600), SECOND * 60);
        assert_eq!(
            pulse.elapsed(start + BEAT * 605),
            SECOND * 60 + SECOND / 2,
            "a late beat costs nothing"
        );
    }

    #[test]
    fn a_pause_of_the_process_counts_one_second() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start, LONGEST_GAP);
        let awake = start + SECOND * 3600;
        assert_eq!(pulse.elapsed(awake), LONGEST_GAP, "before the first beat");
        pulse.beat(awake);
        assert_eq!(pulse.elapsed(awake), LONGEST_GAP, "and after it");
        pulse.beat(awake + BEAT);
        assert_eq!(pulse.elapsed(awake + BEAT), LONGEST_GAP + BEAT);
    }

    #[test]
    fn a_late_update_never_turns_the_clock_back() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start, LONGEST_GAP);
        pulse.beat(start + BEAT);
        pulse.beat(start);
        assert_eq!(pulse.elapsed(start + BEAT), BEAT);
    }

    #[test]
    fn a_partial_deadline_never_ends_after_the_whole_one() {
        let whole = RunClock::new().deadline(SECOND);
        assert!(whole.within(SECOND * 9).remaining() <= SECOND);
        assert!(whole.within(SECOND / 2).remaining() <= SECOND / 2);
    }

    #[test]
    fn a_budget_of_any_length_is_a_deadline() {
        let deadline = RunClock::new().deadline(Duration::MAX);
        assert!(!deadline.has_passed());
        assert!(!deadline.within(Duration::MAX).has_passed());
    }

    #[test]
    fn the_thread_ends_with_its_clock() {
        let clock = RunClock::new();
        let pulse = Arc::downgrade(&clock.0);
        drop(clock);
        keep_beating(&pulse);
    }
}
