//! The steps of a cell. The code that does the work measures them, because a step may start in one phase and end in
//! another.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::deadline::{RunClock, milliseconds};
use crate::event::Step;

/// Measures steps relative to the start of the cell.
#[derive(Debug)]
pub struct StepLog {
    clock: RunClock,
    start: Duration,
    steps: Mutex<Vec<Step>>,
    /// The names of the running steps, in order of their start.
    running: watch::Sender<Vec<String>>,
}

impl StepLog {
    /// A log that starts now.
    pub fn new(clock: &RunClock) -> Self {
        Self {
            clock: clock.clone(),
            start: clock.elapsed(),
            steps: Mutex::new(Vec::new()),
            running: watch::Sender::default(),
        }
    }

    /// The time since the start of the log.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.start)
    }

    /// Measures `work` as the step `name`. If the future is dropped before `work` ends, the step isn't recorded.
    pub async fn measure<F: Future>(&self, name: &str, work: F) -> F::Output {
        let start = self.clock.elapsed();
        let running = Running::new(&self.running, name);
        tracing::debug!(step = name, "started");
        let output = work.await;
        drop(running);
        let took = self.clock.elapsed().saturating_sub(start);
        tracing::debug!(step = name, ?took, "ended");
        self.steps.lock().push(Step {
            name: name.to_owned(),
            start_ms: milliseconds(start.saturating_sub(self.start)),
            duration_ms: milliseconds(took),
        });
        output
    }

    /// Watches the names of the running steps, which are in order of their start.
    pub fn running(&self) -> watch::Receiver<Vec<String>> {
        self.running.subscribe()
    }

    /// The steps so far, in order of their start.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self.steps.lock().clone();
        steps.sort_by_key(|step| step.start_ms);
        steps
    }
}

/// A step in the list of running steps. Dropping this value removes it from the list.
struct Running<'l> {
    all: &'l watch::Sender<Vec<String>>,
    name: &'l str,
}

impl<'l> Running<'l> {
    fn new(all: &'l watch::Sender<Vec<String>>, name: &'l str) -> Self {
        all.send_modify(|names| names.push(name.to_owned()));
        Self { all, name }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.all.send_modify(|names| {
            if let Some(index) = names.iter().position(|name| name == self.name) {
                names.remove(index);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn running_steps_are_listed_until_they_end_or_are_dropped() {
        let log = StepLog::new(&RunClock::new());
        let running = log.running();
        log.measure("outer", async {
            let dropped = Box::pin(log.measure("inner", std::future::pending::<()>()));
            futures::future::select(dropped, std::future::ready(())).await;
            assert_eq!(*running.borrow(), ["outer"]);
            log.measure("inner", async {
                assert_eq!(*running.borrow(), ["outer", "inner"]);
            })
            .await;
        })
        .await;
        assert!(running.borrow().is_empty());
        let mut names: Vec<_> = log.steps().into_iter().map(|step| step.name).collect();
        names.sort();
        assert_eq!(names, ["inner", "outer"]);
    }
}
