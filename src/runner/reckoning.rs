//! The verdict on a run that is known by its record alone: one that was killed, merged or resumed. Pure.

use super::verdict::{self, Counted};
use crate::event::{CellVerdict, Failure, RunVerdict, Symptom};
use crate::report::RunModel;
use crate::report::model::{CellModel, PhaseModel};
use crate::suite::CellEnd;

/// How `run` ended by the same table as every run, whatever its record says of its end. One that was killed is broken by its
/// infrastructure, where nothing worse is known of it.
pub fn verdict_of(run: &RunModel) -> RunVerdict {
    let mut counted: Vec<Counted> = run.cells.iter().map(Counted::of_record).collect();
    counted.extend(Counted::of_no_cell(&run.failures));
    let verdict = verdict::of_run(&counted, run.signal);
    match verdict {
        RunVerdict::Passed | RunVerdict::NothingToDo if run.verdict.is_none() => {
            RunVerdict::InfrastructureFailure
        }
        verdict => verdict,
    }
}

impl Counted {
    /// Failures that belong to the run and to no cell; none where there are none.
    fn of_no_cell(failures: &[Failure]) -> Option<Self> {
        (!failures.is_empty()).then(|| Self {
            end: CellEnd {
                failures: failures.to_vec(),
                interrupted: false,
            },
            skipped: false,
            allow_failure: false,
        })
    }

    /// How a cell counts of which the record is all that is known.
    pub(super) fn of_record(cell: &CellModel) -> Self {
        let failures = cell.phases.iter().filter_map(PhaseModel::failure);
        let mut failures: Vec<Failure> = failures.cloned().collect();
        if failures.is_empty() && matches!(cell.verdict, CellVerdict::Failed | CellVerdict::Broken)
        {
            // Only a task of the runner that ended by itself leaves a red cell without a red phase.
            let reason = cell.reason.clone().unwrap_or_default();
            failures.push(Failure::new(Symptom::RunnerBug, reason));
        }
        Self {
            end: CellEnd {
                failures,
                interrupted: cell.verdict == CellVerdict::Interrupted,
            },
            skipped: cell.verdict == CellVerdict::Skipped,
            allow_failure: cell.summary.allow_failure,
        }
    }
}
