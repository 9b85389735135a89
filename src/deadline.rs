//! Deadlines: the only way in which anything here waits. They stand still while the run is stopped.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The time that a run has been running: time in which it was stopped does not count.
#[derive(Clone, Debug)]
pub struct RunClock(Arc<watch::Sender<Stops>>);

#[derive(Clone, Copy, Debug)]
struct Stops {
    origin: Instant,
    stopped: Duration,
    since: Option<Instant>,
}

impl Stops {
    fn elapsed(&self) -> Duration {
        self.since
            .unwrap_or_else(Instant::now)
            .saturating_duration_since(self.origin)
            .saturating_sub(self.stopped)
    }
}

impl Default for RunClock {
    fn default() -> Self {
        Self::new()
    }
}

impl RunClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        let stops = Stops {
            origin: Instant::now(),
            stopped: Duration::ZERO,
            since: None,
        };
        Self(Arc::new(watch::Sender::new(stops)))
    }

    /// How long the run has been running.
    pub fn elapsed(&self) -> Duration {
        self.0.borrow().elapsed()
    }

    /// Every deadline of this clock stands still from now on.
    pub fn pause(&self) {
        self.0.send_modify(|stops| {
            stops.since.get_or_insert_with(Instant::now);
        });
    }

    /// Every deadline of this clock goes on.
    pub fn resume(&self) {
        self.0.send_modify(|stops| {
            if let Some(since) = stops.since.take() {
                stops.stopped += since.elapsed();
            }
        });
    }

    /// The deadline that is `budget` of running time away.
    pub fn deadline(&self, budget: Duration) -> Deadline {
        Deadline {
            clock: self.clone(),
            budget,
            end: self.elapsed() + budget,
        }
    }
}

/// A point in a run's running time by which something must have happened.
#[derive(Clone, Debug)]
pub struct Deadline {
    clock: RunClock,
    budget: Duration,
    end: Duration,
}

/// The deadline passed before the thing that was waited for happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {}", humantime::format_duration(*.budget))]
pub struct TimedOut {
    /// How long was waited.
    pub budget: Duration,
}

impl Deadline {
    /// What was given in the beginning.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// What is left of it; zero once it has passed.
    pub fn remaining(&self) -> Duration {
        self.end.saturating_sub(self.clock.elapsed())
    }

    /// Whether it has passed.
    pub fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// A deadline of the same clock that is `budget` away, but no later than this one.
    #[must_use]
    pub fn within(&self, budget: Duration) -> Self {
        self.clock.deadline(budget.min(self.remaining()))
    }

    /// Returns when it has passed.
    pub async fn passed(&self) {
        let mut changes = self.clock.0.subscribe();
        loop {
            let stops = *changes.borrow_and_update();
            let remaining = self.end.saturating_sub(stops.elapsed());
            if stops.since.is_none() && remaining.is_zero() {
                return;
            }
            let tick = async {
                match stops.since {
                    Some(_) => std::future::pending().await,
                    None => tokio::time::sleep(remaining).await,
                }
            };
            tokio::select! {
                () = tick => {}
                // The clock lives as long as this deadline holds it.
                _ = changes.changed() => {}
            }
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

/// Whole milliseconds, as events carry durations.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn passes_after_its_budget() {
        let clock = RunClock::new();
        let before = Instant::now();
        let result = clock
            .deadline(SECOND)
            .run(std::future::pending::<()>())
            .await;
        assert_eq!(result, Err(TimedOut { budget: SECOND }));
        assert!(before.elapsed() >= SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn stands_still_while_the_run_is_stopped() {
        let clock = RunClock::new();
        let deadline = clock.deadline(SECOND);
        clock.pause();
        tokio::time::advance(SECOND * 60).await;
        assert_eq!(deadline.remaining(), SECOND);
        clock.resume();
        tokio::time::advance(SECOND / 2).await;
        assert!(!deadline.has_passed());
        deadline.passed().await;
        assert!(deadline.has_passed());
        assert!(clock.elapsed() < SECOND * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_never_outlives_the_whole() {
        let whole = RunClock::new().deadline(SECOND);
        assert_eq!(whole.within(SECOND * 9).remaining(), SECOND);
        assert_eq!(whole.within(SECOND / 2).remaining(), SECOND / 2);
    }
}
