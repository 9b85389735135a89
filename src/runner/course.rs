//! The course of a run beyond its cells: how often it goes round, and what ends it early.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::event::{CellVerdict, FlakyResult};
use crate::matrix::CellId;

/// How often a run goes round, and what ends it early.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// How many rounds there are; one where nothing is said, no end of them where it goes on until a failure.
    pub repeat: Option<NonZeroU32>,
    /// Rounds follow each other until a cell that counts is red.
    pub until_failure: bool,
    /// How many red cells that count keep others from beginning.
    pub stop_after: Option<StopAfter>,
    /// How long the run may take.
    pub timeout: Option<Duration>,
}

/// How many red cells are enough, in the words of who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAfter {
    /// One: `--fail-fast`.
    First,
    /// That many: `--max-fail`.
    Count(NonZeroUsize),
}

impl Course {
    /// The last round, where there is one.
    pub(super) fn rounds(&self) -> Option<NonZeroU32> {
        match (self.repeat, self.until_failure) {
            (None, true) => None,
            (repeat, _) => Some(repeat.unwrap_or(NonZeroU32::MIN)),
        }
    }

    /// How many rounds are planned before the first one begins: one if a failure may end the run after any of them.
    pub(super) fn planned_rounds(&self) -> NonZeroU32 {
        match self.rounds() {
            Some(rounds) if !self.until_failure => rounds,
            Some(_) | None => NonZeroU32::MIN,
        }
    }

    /// Whether cells are told apart by their repetition.
    pub(super) fn repeats(&self) -> bool {
        self.rounds() != Some(NonZeroU32::MIN)
    }

    fn limit(&self) -> Option<(usize, String)> {
        match (self.stop_after, self.until_failure) {
            (Some(StopAfter::First), _) => Some((1, "--fail-fast".to_owned())),
            (Some(StopAfter::Count(count)), _) => {
                Some((count.get(), format!("--max-fail {count}")))
            }
            (None, true) => Some((1, "--until-failure".to_owned())),
            (None, false) => None,
        }
    }
}

/// Counts red cells, and keeps others from beginning once there are enough.
pub(super) struct Stop {
    limit: Option<(usize, String)>,
    flaky_result: FlakyResult,
    red: Mutex<usize>,
    reason: OnceLock<String>,
    token: CancellationToken,
}

impl Stop {
    pub(super) fn new(course: &Course, flaky_result: FlakyResult) -> Self {
        Self {
            limit: course.limit(),
            flaky_result,
            red: Mutex::new(0),
            reason: OnceLock::new(),
            token: CancellationToken::new(),
        }
    }

    /// Takes note of how a cell that counts ended. Must happen while the cell still has its place, or another one slips in.
    pub(super) fn note(&self, cell: &CellId, verdict: CellVerdict) {
        if !is_red(verdict, self.flaky_result) {
            return;
        }
        let mut red = self.red.lock().unwrap_or_else(PoisonError::into_inner);
        *red += 1;
        if let Some((limit, option)) = &self.limit
            && *red >= *limit
        {
            self.reason
                .get_or_init(|| format!("not started: {option}, after {cell} {}", ended(verdict)));
            self.token.cancel();
        }
    }

    /// Whether a cell that counts was red.
    pub(super) fn seen_red(&self) -> bool {
        *self.red.lock().unwrap_or_else(PoisonError::into_inner) > 0
    }

    /// Why no further cell begins, once that is so.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Returns when no further cell may begin.
    pub(super) async fn stopped(&self) {
        self.token.cancelled().await;
    }
}

fn is_red(verdict: CellVerdict, flaky: FlakyResult) -> bool {
    match verdict {
        CellVerdict::Failed | CellVerdict::Broken => true,
        CellVerdict::Flaky => flaky == FlakyResult::Fail,
        CellVerdict::Passed | CellVerdict::Skipped | CellVerdict::Interrupted => false,
    }
}

fn ended(verdict: CellVerdict) -> String {
    match verdict {
        CellVerdict::Broken | CellVerdict::Flaky => format!("was {verdict}"),
        CellVerdict::Passed
        | CellVerdict::Failed
        | CellVerdict::Skipped
        | CellVerdict::Interrupted => verdict.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;

    fn cell() -> CellId {
        let text = "[matrix]\nkubernetes = [\"1.36\"]\n";
        Matrix::parse("matrix.toml", text).unwrap().cells[0]
            .id
            .clone()
    }

    fn stop_after(count: usize) -> Course {
        Course {
            stop_after: NonZeroUsize::new(count).map(StopAfter::Count),
            ..Course::default()
        }
    }

    #[test]
    fn enough_red_cells_stop_the_others_and_say_which_was_the_last() {
        let stop = Stop::new(&stop_after(2), FlakyResult::Pass);
        stop.note(&cell(), CellVerdict::Failed);
        stop.note(&cell(), CellVerdict::Passed);
        stop.note(&cell(), CellVerdict::Flaky);
        assert_eq!(stop.reason(), None);
        stop.note(&cell().repetition(3), CellVerdict::Broken);
        assert_eq!(
            stop.reason(),
            Some("not started: --max-fail 2, after k8s-1.36-n1-default#3 was broken")
        );
    }

    #[test]
    fn a_flaky_cell_counts_where_it_is_a_failure() {
        let stop = Stop::new(&stop_after(1), FlakyResult::Fail);
        stop.note(&cell(), CellVerdict::Flaky);
        assert!(stop.reason().is_some());
    }

    #[test]
    fn rounds_end_with_the_last_one_or_with_a_failure() {
        let thrice = Course {
            repeat: NonZeroU32::new(3),
            ..Course::default()
        };
        assert_eq!(thrice.rounds(), NonZeroU32::new(3));
        assert!(thrice.repeats());
        assert!(!Course::default().repeats());
        let hunting = Course {
            until_failure: true,
            ..Course::default()
        };
        assert_eq!(hunting.rounds(), None);
        let stop = Stop::new(&hunting, FlakyResult::Pass);
        assert!(!stop.seen_red());
        stop.note(&cell(), CellVerdict::Failed);
        assert!(stop.seen_red());
        assert!(
            stop.reason()
                .is_some_and(|reason| reason.contains("--until-failure"))
        );
    }
}
