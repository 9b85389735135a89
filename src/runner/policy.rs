//! The policy of a run: how many times cells are repeated, and what ends the run early.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::SetOnce;

use crate::event::{CellVerdict, FlakyResult};
use crate::matrix::CellId;

/// How many times cells are repeated, and what ends the run early.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunPolicy {
    /// The number of rounds: by default one, or unlimited if the run repeats until a failure.
    pub repeat: Option<NonZeroU32>,
    /// Whether to repeat the cells until one fails. Cells that are allowed to fail don't count.
    pub until_failure: bool,
    /// Whether no further cell starts after the first failed one: `--fail-fast`.
    pub fail_fast: bool,
    /// The number of failed cells after which no further cell starts: `--max-fail`.
    pub max_fail: Option<NonZeroU32>,
    /// The run timeout.
    pub timeout: Option<Duration>,
}

impl RunPolicy {
    /// The number of the last round; if there is no last one, the largest number.
    pub(super) fn last_round(&self) -> u32 {
        match self.repeat {
            Some(rounds) => rounds.get(),
            None if self.until_failure => u32::MAX,
            None => 1,
        }
    }

    /// How many rounds are planned before the first one starts: one if a failure may end the run after any round.
    pub(super) fn planned_rounds(&self) -> u32 {
        if self.until_failure {
            1
        } else {
            self.last_round()
        }
    }

    /// Whether cell ids need the number of the repetition.
    pub(super) fn repeats(&self) -> bool {
        self.last_round() != 1
    }

    /// The number of failed cells after which no further cell starts, and the option that sets it.
    fn limit(&self) -> Option<(u32, String)> {
        if self.fail_fast {
            Some((1, "--fail-fast".to_owned()))
        } else if let Some(count) = self.max_fail {
            Some((count.get(), format!("--max-fail {count}")))
        } else {
            let limit = (1, "--until-failure".to_owned());
            self.until_failure.then_some(limit)
        }
    }
}

/// Counts failed cells, and keeps further cells from starting when the limit is reached.
pub(super) struct Stop {
    limit: Option<(u32, String)>,
    flaky_result: FlakyResult,
    failed: AtomicU32,
    /// Why no further cell starts, if the limit is reached.
    reason: SetOnce<String>,
}

impl Stop {
    pub(super) fn new(policy: &RunPolicy, flaky_result: FlakyResult) -> Self {
        Self {
            limit: policy.limit(),
            flaky_result,
            failed: AtomicU32::new(0),
            reason: SetOnce::new(),
        }
    }

    /// Records the verdict of a cell that isn't allowed to fail. Must be called while the cell is still admitted, so
    /// that no other cell starts in between.
    pub(super) fn record(&self, cell: &CellId, verdict: CellVerdict) {
        if !is_failure(verdict, self.flaky_result) {
            return;
        }
        let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((limit, option)) = &self.limit
            && failed >= *limit
        {
            let ended = ended(verdict);
            let reason = format!("not started: {option} took effect when {cell} {ended}");
            // Only the first reason counts.
            drop(self.reason.set(reason));
        }
    }

    /// Whether any cell has failed, not counting cells that are allowed to fail.
    pub(super) fn has_failures(&self) -> bool {
        self.failed.load(Ordering::Relaxed) > 0
    }

    /// Why no further cell starts; `None` if further cells may start.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Returns when no further cell may start.
    pub(super) async fn stopped(&self) {
        self.reason.wait().await;
    }
}

fn is_failure(verdict: CellVerdict, flaky: FlakyResult) -> bool {
    match verdict {
        CellVerdict::Failed | CellVerdict::Error => true,
        CellVerdict::Flaky => flaky == FlakyResult::Fail,
        CellVerdict::Passed | CellVerdict::Skipped | CellVerdict::Interrupted => false,
    }
}

fn ended(verdict: CellVerdict) -> String {
    match verdict {
        CellVerdict::Error => "ended with an error".to_owned(),
        CellVerdict::Flaky => "was flaky".to_owned(),
        CellVerdict::Passed
        | CellVerdict::Failed
        | CellVerdict::Skipped
        | CellVerdict::Interrupted => verdict.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::admission::tests::cell;
    use super::*;

    fn stop_after(count: u32) -> RunPolicy {
        RunPolicy {
            max_fail: NonZeroU32::new(count),
            ..RunPolicy::default()
        }
    }

    #[test]
    fn enough_failed_cells_stop_the_others_and_the_reason_names_the_last() {
        let stop = Stop::new(&stop_after(2), FlakyResult::Pass);
        stop.record(&cell(), CellVerdict::Failed);
        stop.record(&cell(), CellVerdict::Passed);
        stop.record(&cell(), CellVerdict::Flaky);
        assert_eq!(stop.reason(), None);
        stop.record(&cell().repetition(3), CellVerdict::Error);
        let reason = "not started: --max-fail 2 took effect when \
                      k8s-1.36-n1-default#3 ended with an error";
        assert_eq!(stop.reason(), Some(reason));
    }

    #[test]
    fn a_flaky_cell_counts_if_it_is_a_failure() {
        let stop = Stop::new(&stop_after(1), FlakyResult::Fail);
        stop.record(&cell(), CellVerdict::Flaky);
        assert!(stop.reason().is_some());
    }

    #[test]
    fn repetition_stops_after_the_last_round_or_a_failure() {
        let thrice = RunPolicy {
            repeat: NonZeroU32::new(3),
            ..RunPolicy::default()
        };
        assert_eq!(thrice.last_round(), 3);
        assert!(thrice.repeats());
        assert!(!RunPolicy::default().repeats());
        let until_failure = RunPolicy {
            until_failure: true,
            ..RunPolicy::default()
        };
        assert_eq!(until_failure.last_round(), u32::MAX);
        let stop = Stop::new(&until_failure, FlakyResult::Pass);
        assert!(!stop.has_failures());
        stop.record(&cell(), CellVerdict::Failed);
        assert!(stop.has_failures());
        assert!(
            stop.reason()
                .is_some_and(|reason| reason.contains("--until-failure"))
        );
    }
}
