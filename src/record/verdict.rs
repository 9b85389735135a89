//! Computes verdicts from how cells ended: for each cell, and for the run. All functions are pure.

use crate::event::{
    CellEnd, CellVerdict, Failure, FailureClass, FlakyResult, RunVerdict, Symptom, Termination,
};

/// How one cell counts towards the run's verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// How each attempt ended, in order. An attempt that was due and never started counts as interrupted.
    pub(crate) attempts: Vec<CellEnd>,
    /// Why the cell was skipped, if it was.
    pub(crate) skipped: Option<String>,
    /// Whether a failure of the cell is allowed, so that it doesn't change the run's verdict.
    pub(crate) allow_failure: bool,
}

impl Counted {
    /// The verdict on the cell, which is the verdict on its last attempt.
    pub(crate) fn verdict(&self) -> CellVerdict {
        match self.attempts.split_last() {
            None => CellVerdict::Skipped,
            Some((last, earlier)) => match of_attempt(last) {
                CellVerdict::Passed if !earlier.is_empty() => CellVerdict::Flaky,
                verdict => verdict,
            },
        }
    }

    /// The reason, if the cell didn't pass.
    pub(crate) fn reason(&self) -> Option<String> {
        let Some((last, earlier)) = self.attempts.split_last() else {
            return self.skipped.clone();
        };
        let failed = earlier.iter().enumerate().rev().find_map(|(index, end)| {
            let failure = end.failures.first()?;
            Some(format!("attempt {}: {failure}", index + 1))
        });
        match self.verdict() {
            CellVerdict::Interrupted => {
                let cut = "the run was interrupted".to_owned();
                Some(failed.map_or(cut.clone(), |failed| format!("{cut}; {failed}")))
            }
            CellVerdict::Flaky => failed,
            CellVerdict::Passed
            | CellVerdict::Failed
            | CellVerdict::Error
            | CellVerdict::Skipped => reason_of_attempt(last),
        }
    }

    /// The failures that count: the last attempt's, or those of all attempts if the last one was cut off.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &Failure> {
        let first = match self.attempts.split_last() {
            Some((last, earlier)) if of_attempt(last) != CellVerdict::Interrupted => earlier.len(),
            Some(_) | None => 0,
        };
        self.attempts[first..].iter().flat_map(|end| &end.failures)
    }

    /// Whether the end of the run cut off the cell's last attempt.
    fn is_cut_off(&self) -> bool {
        matches!(
            self.verdict(),
            CellVerdict::Interrupted | CellVerdict::Skipped
        )
    }
}

/// The verdict on one attempt: an interruption doesn't hide an earlier failure.
pub(crate) fn of_attempt(end: &CellEnd) -> CellVerdict {
    match end.failures.first() {
        Some(first) => CellVerdict::of_class(first.class()),
        None if end.interrupted => CellVerdict::Interrupted,
        None => CellVerdict::Passed,
    }
}

/// Why an attempt failed; `None` if it didn't.
pub(crate) fn reason_of_attempt(end: &CellEnd) -> Option<String> {
    end.failures.first().map(|failure| failure.message.clone())
}

/// The verdict on the run, by the first rule that applies. A signal takes precedence over everything; a run timeout
/// doesn't hide a failure.
pub(super) fn of_run(
    cells: &[Counted],
    ended: Option<Termination>,
    flaky_result: FlakyResult,
) -> RunVerdict {
    let is_timed_out = match ended {
        Some(by @ (Termination::Interrupt | Termination::Terminate)) => {
            return RunVerdict::Interrupted { by };
        }
        Some(Termination::RunTimeout) => cells.iter().any(Counted::is_cut_off),
        None => false,
    };
    let is_bug = |failure: &&Failure| failure.symptom == Symptom::RunnerBug;
    let counted = || cells.iter().filter(|cell| !cell.allow_failure);
    let failures = || counted().flat_map(Counted::failures);
    let has = |class| failures().any(|failure| failure.class() == class && !is_bug(&failure));
    // If nothing ended the run, a process that ran such a cell was killed.
    let is_interrupted = |cell: &Counted| cell.verdict() == CellVerdict::Interrupted;
    let is_killed = ended.is_none() && counted().any(is_interrupted);
    let is_flaky = |cell: &Counted| cell.verdict() == CellVerdict::Flaky;
    // A bug in the runner counts even if it affects only a cell that is allowed to fail.
    let mut all = cells.iter().flat_map(Counted::failures);
    if has(FailureClass::Product) {
        RunVerdict::ProductFailure
    } else if flaky_result == FlakyResult::Fail && counted().any(is_flaky) {
        RunVerdict::FlakyFailure
    } else if has(FailureClass::Configuration) {
        RunVerdict::ConfigurationFailure
    } else if has(FailureClass::Infrastructure) || is_killed {
        RunVerdict::InfrastructureFailure
    } else if all.any(|failure| is_bug(&failure)) {
        RunVerdict::RunnerBug
    } else if is_timed_out {
        RunVerdict::Interrupted {
            by: Termination::RunTimeout,
        }
    } else if cells.iter().all(|cell| cell.attempts.is_empty()) {
        RunVerdict::NothingToDo
    } else {
        RunVerdict::Passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(symptoms: &[Symptom]) -> CellEnd {
        let failures = symptoms
            .iter()
            .map(|symptom| Failure::new(*symptom, "x"))
            .collect();
        CellEnd {
            failures,
            ..CellEnd::default()
        }
    }

    fn cut_off() -> CellEnd {
        CellEnd {
            interrupted: true,
            ..CellEnd::default()
        }
    }

    fn tried(attempts: Vec<CellEnd>) -> Counted {
        Counted {
            attempts,
            ..Counted::default()
        }
    }

    fn cell(symptoms: &[Symptom]) -> Counted {
        tried(vec![end(symptoms)])
    }

    fn of(cells: &[Counted], ended: Option<Termination>) -> RunVerdict {
        of_run(cells, ended, FlakyResult::Pass)
    }

    #[test]
    fn the_first_rule_that_applies_gives_the_verdict() {
        let product = cell(&[Symptom::CounterNotMet]);
        let configuration = cell(&[Symptom::ObjectRefused]);
        let infrastructure = cell(&[Symptom::EngineGone]);
        let passed = cell(&[]);
        let all = [
            passed.clone(),
            infrastructure.clone(),
            configuration.clone(),
            product,
        ];
        assert_eq!(of(&all, None), RunVerdict::ProductFailure);
        assert_eq!(of(&all[..3], None), RunVerdict::ConfigurationFailure);
        assert_eq!(of(&all[..2], None), RunVerdict::InfrastructureFailure);
        assert_eq!(of(&all[..1], None), RunVerdict::Passed);
        assert_eq!(of(&[], None), RunVerdict::NothingToDo);
        let by = Termination::Interrupt;
        assert_eq!(of(&all, Some(by)), RunVerdict::Interrupted { by });
    }

    #[test]
    fn a_runner_bug_has_its_own_verdict_and_hides_no_product_failure() {
        let bug = cell(&[Symptom::RunnerBug]);
        assert_eq!(of(std::slice::from_ref(&bug), None), RunVerdict::RunnerBug);
        let product = cell(&[Symptom::CounterNotMet]);
        assert_eq!(of(&[bug, product], None), RunVerdict::ProductFailure);
    }

    #[test]
    fn an_allowed_failure_does_not_count() {
        let mut allowed = cell(&[Symptom::CounterNotMet]);
        allowed.allow_failure = true;
        assert_eq!(of(&[allowed.clone()], None), RunVerdict::Passed);
        let broken = cell(&[Symptom::EngineGone]);
        assert_eq!(
            of(&[allowed, broken], None),
            RunVerdict::InfrastructureFailure
        );
    }

    #[test]
    fn a_run_with_only_skipped_cells_has_nothing_to_do() {
        let skipped = Counted::default();
        assert_eq!(
            of(std::slice::from_ref(&skipped), None),
            RunVerdict::NothingToDo
        );
        assert_eq!(of(&[skipped, cell(&[])], None), RunVerdict::Passed);
    }

    #[test]
    fn a_failed_cleanup_does_not_hide_a_product_failure() {
        let both = cell(&[Symptom::CounterNotMet, Symptom::CleanupIncomplete]);
        assert_eq!(both.verdict(), CellVerdict::Failed);
        assert_eq!(of(&[both], None), RunVerdict::ProductFailure);
    }

    #[test]
    fn a_cell_that_passes_on_a_retry_is_flaky_and_names_the_earlier_failure() {
        let flaky = tried(vec![
            end(&[Symptom::EngineGone]),
            end(&[Symptom::CounterNotMet]),
            end(&[]),
        ]);
        assert_eq!(flaky.verdict(), CellVerdict::Flaky);
        assert_eq!(flaky.reason().as_deref(), Some("attempt 2: x"));
        let cells = [flaky, cell(&[Symptom::ObjectRefused])];
        assert_eq!(of(&cells[..1], None), RunVerdict::Passed);
        let strictly = |cells| of_run(cells, None, FlakyResult::Fail);
        assert_eq!(strictly(&cells), RunVerdict::FlakyFailure);
        let mut allowed = cells[0].clone();
        allowed.allow_failure = true;
        assert_eq!(strictly(&[allowed]), RunVerdict::Passed);
    }

    #[test]
    fn only_the_last_attempt_counts_unless_it_was_cut_off() {
        let product = || end(&[Symptom::CounterNotMet]);
        let better = tried(vec![product(), end(&[Symptom::EngineGone])]);
        assert_eq!(better.verdict(), CellVerdict::Error);
        assert_eq!(of(&[better], None), RunVerdict::InfrastructureFailure);
        let cut = tried(vec![product(), cut_off()]);
        assert_eq!(cut.verdict(), CellVerdict::Interrupted);
        assert!(
            cut.reason()
                .is_some_and(|text| text.ends_with("attempt 1: x"))
        );
        let by = Some(Termination::RunTimeout);
        assert_eq!(of(&[cut], by), RunVerdict::ProductFailure);
    }

    #[test]
    fn a_run_timeout_hides_no_failure_and_counts_only_if_it_cut_a_cell_off() {
        let by = Termination::RunTimeout;
        let up = RunVerdict::Interrupted { by };
        let (passed, cut) = (cell(&[]), tried(vec![cut_off()]));
        let broken = cell(&[Symptom::EngineGone]);
        assert_eq!(of(&[passed.clone(), cut.clone()], Some(by)), up);
        assert_eq!(of(&[Counted::default()], Some(by)), up);
        assert_eq!(of(&[passed], Some(by)), RunVerdict::Passed);
        assert_eq!(
            of(&[broken, cut], Some(by)),
            RunVerdict::InfrastructureFailure
        );
    }

    #[test]
    fn the_reason_of_an_attempt_is_its_first_failure() {
        let mut failed = end(&[Symptom::CounterNotMet, Symptom::CleanupIncomplete]);
        failed.failures[0].message = "audit_count is 0".to_owned();
        assert_eq!(
            reason_of_attempt(&failed).as_deref(),
            Some("audit_count is 0")
        );
        assert_eq!(reason_of_attempt(&end(&[])), None);
    }
}
