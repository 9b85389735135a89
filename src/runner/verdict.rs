//! What the ends of cells come to: for the cell, and for the run. Pure.

use crate::event::{CellVerdict, Failure, FailureClass, RunVerdict, Symptom, Termination};
use crate::suite::CellEnd;

/// How one cell counts for the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) end: CellEnd,
    /// It never began.
    pub(super) skipped: bool,
    /// A red result does not change the run's verdict.
    pub(super) allow_failure: bool,
}

/// The verdict on one cell: an interruption hides no failure that came before it.
pub(super) fn of_cell(end: &CellEnd) -> CellVerdict {
    match end.failures.first() {
        Some(first) => CellVerdict::of_class(first.class()),
        None if end.interrupted => CellVerdict::Interrupted,
        None => CellVerdict::Passed,
    }
}

/// The verdict on the run: the first that applies.
pub(super) fn of_run(cells: &[Counted], interrupted: Option<Termination>) -> RunVerdict {
    if let Some(by) = interrupted {
        return RunVerdict::Interrupted { by };
    }
    let is_bug = |failure: &&Failure| failure.symptom == Symptom::RunnerBug;
    let failures = || {
        let counted = cells.iter().filter(|cell| !cell.allow_failure);
        counted.flat_map(|cell| &cell.end.failures)
    };
    let has = |class| failures().any(|failure| failure.class() == class && !is_bug(&failure));
    // What is allowed to fail is the product, not the runner.
    let mut all = cells.iter().flat_map(|cell| &cell.end.failures);
    if has(FailureClass::Product) {
        RunVerdict::ProductFailure
    } else if has(FailureClass::Configuration) {
        RunVerdict::ConfigurationFailure
    } else if has(FailureClass::Infrastructure) {
        RunVerdict::InfrastructureFailure
    } else if cells.iter().all(|cell| cell.skipped) {
        RunVerdict::NothingToDo
    } else if all.any(|failure| is_bug(&failure)) {
        RunVerdict::RunnerBug
    } else {
        RunVerdict::Passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(symptoms: &[Symptom]) -> Counted {
        let failures = symptoms
            .iter()
            .map(|symptom| Failure::new(*symptom, "x"))
            .collect();
        Counted {
            end: CellEnd {
                failures,
                interrupted: false,
            },
            skipped: false,
            allow_failure: false,
        }
    }

    #[test]
    fn the_first_that_applies_is_the_runs_verdict() {
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
        assert_eq!(of_run(&all, None), RunVerdict::ProductFailure);
        assert_eq!(of_run(&all[..3], None), RunVerdict::ConfigurationFailure);
        assert_eq!(of_run(&all[..2], None), RunVerdict::InfrastructureFailure);
        assert_eq!(of_run(&all[..1], None), RunVerdict::Passed);
        assert_eq!(of_run(&[], None), RunVerdict::NothingToDo);
        let by = Termination::Interrupt;
        assert_eq!(of_run(&all, Some(by)), RunVerdict::Interrupted { by });
    }

    #[test]
    fn a_bug_is_no_infrastructure_and_hides_no_product_failure() {
        let bug = cell(&[Symptom::RunnerBug]);
        assert_eq!(
            of_run(std::slice::from_ref(&bug), None),
            RunVerdict::RunnerBug
        );
        let product = cell(&[Symptom::CounterNotMet]);
        assert_eq!(of_run(&[bug, product], None), RunVerdict::ProductFailure);
    }

    #[test]
    fn what_is_allowed_to_fail_does_not_count() {
        let mut allowed = cell(&[Symptom::CounterNotMet]);
        allowed.allow_failure = true;
        assert_eq!(of_run(&[allowed.clone()], None), RunVerdict::Passed);
        let broken = cell(&[Symptom::EngineGone]);
        assert_eq!(
            of_run(&[allowed, broken], None),
            RunVerdict::InfrastructureFailure
        );
    }

    #[test]
    fn a_run_of_skipped_cells_did_nothing() {
        let mut skipped = cell(&[]);
        skipped.skipped = true;
        assert_eq!(of_run(&[skipped.clone()], None), RunVerdict::NothingToDo);
        assert_eq!(of_run(&[skipped, cell(&[])], None), RunVerdict::Passed);
    }

    #[test]
    fn a_cleanup_that_failed_too_makes_the_product_no_less_guilty() {
        let both = cell(&[Symptom::CounterNotMet, Symptom::CleanupIncomplete]);
        assert_eq!(of_cell(&both.end), CellVerdict::Failed);
        assert_eq!(of_run(&[both], None), RunVerdict::ProductFailure);
    }
}
