//! The verdict on a run that is known by its record alone: one that was killed, merged or resumed. Pure.

use super::verdict::{self, Counted};
use crate::event::CellEnd;
use crate::event::{CellVerdict, Failure, FlakyResult, RunVerdict, Symptom};
use crate::record::RunModel;
use crate::record::model::{CellModel, PhaseModel};

/// How `run` ended by the same table as every run, whatever its record says of its end. One that is not whole, because it was killed
/// or parts of it are missing, is broken by its infrastructure, where nothing worse is known of it.
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
    pub(crate) fn of_record(cell: &CellModel) -> Self {
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
