//! The verdict as a function of a run's model, whether the run has just ended, was killed, resumed or merged. Pure.

use super::model::{CellModel, PhaseModel, RunModel};
use super::verdict::{self, Counted};
use crate::event::{CellEnd, CellVerdict, Failure, FailureClass, FlakyResult, RunVerdict, Symptom};

/// The verdict on `run`, whatever its record says of it. A run that is not whole, because it was killed or parts of it are
/// missing, has an infrastructure failure unless something worse is known of it.
pub fn verdict_of(run: &RunModel, is_whole: bool) -> RunVerdict {
    let mut counted: Vec<Counted> = run.cells.iter().map(Counted::of_record).collect();
    counted.extend(Counted::of_no_cell(&run.failures));
    let facts = run.facts.as_ref();
    let flaky_result = facts.map_or_else(FlakyResult::default, |facts| facts.flaky_result);
    let verdict = verdict::of_run(&counted, run.signal, flaky_result);
    match verdict {
        RunVerdict::Passed | RunVerdict::NothingToDo if !is_whole => {
            RunVerdict::InfrastructureFailure
        }
        verdict => verdict,
    }
}

/// The class of the first failure that stands, in the order of the cells.
pub fn class_of(run: &RunModel) -> Option<FailureClass> {
    let mut cells = run.cells.iter().map(Counted::of_record);
    cells.find_map(|cell| cell.failures().next().map(Failure::class))
}

impl Counted {
    /// Failures that belong to the run and to no cell; none where there are none.
    fn of_no_cell(failures: &[Failure]) -> Option<Self> {
        (!failures.is_empty()).then(|| Self {
            attempts: vec![CellEnd {
                failures: failures.to_vec(),
                ..CellEnd::default()
            }],
            ..Self::default()
        })
    }

    /// How a cell counts of which the record is all that is known.
    fn of_record(cell: &CellModel) -> Self {
        let allow_failure = cell.summary.allow_failure;
        if cell.verdict == CellVerdict::Skipped {
            return Self {
                skipped: Some(cell.reason.clone().unwrap_or_default()),
                allow_failure,
                ..Self::default()
            };
        }
        let attempts = cell.earlier.iter().chain(std::iter::once(cell));
        Self {
            attempts: attempts.map(attempt_of_record).collect(),
            skipped: None,
            allow_failure,
        }
    }
}

/// How an attempt ended of which the record is all that is known.
fn attempt_of_record(attempt: &CellModel) -> CellEnd {
    let failures = attempt.phases.iter().filter_map(PhaseModel::failure);
    let mut failures: Vec<Failure> = failures.cloned().collect();
    if failures.is_empty() && matches!(attempt.verdict, CellVerdict::Failed | CellVerdict::Broken) {
        // Only a task of the runner that ended by itself leaves a red cell without a red phase.
        let reason = attempt.reason.clone().unwrap_or_default();
        failures.push(Failure::new(Symptom::RunnerBug, reason));
    }
    CellEnd {
        failures,
        failed_in: attempt.red_phase().map(|phase| phase.phase),
        interrupted: attempt.verdict == CellVerdict::Interrupted,
        ..CellEnd::default()
    }
}
