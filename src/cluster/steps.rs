//! The steps of a cell, measured where the work happens because they overlap phases.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::deadline::{RunClock, milliseconds};
use crate::event::Step;

/// Measures steps relative to the start of the cell.
#[derive(Debug)]
pub struct StepLog {
    clock: RunClock,
    start: Duration,
    steps: Mutex<Vec<Step>>,
}

impl StepLog {
    /// A log that starts now.
    pub fn new(clock: &RunClock) -> Self {
        Self {
            clock: clock.clone(),
            start: clock.elapsed(),
            steps: Mutex::new(Vec::new()),
        }
    }

    /// The time since the start of the log.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.start)
    }

    /// Measures `work` as the step `name`. A step that is dropped before its end isn't recorded.
    pub async fn measure<F: Future>(&self, name: &str, work: F) -> F::Output {
        let start = self.clock.elapsed();
        let output = work.await;
        self.add(name, start);
        output
    }

    fn add(&self, name: &str, start: Duration) {
        let step = Step {
            name: name.to_owned(),
            start_ms: milliseconds(start.saturating_sub(self.start)),
            duration_ms: milliseconds(self.clock.elapsed().saturating_sub(start)),
        };
        self.steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(step);
    }

    /// The steps so far, in order of their start.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self
            .steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        steps.sort_by_key(|step| step.start_ms);
        steps
    }
}
