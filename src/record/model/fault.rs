//! The reasons why a cell failed: one fault per failed phase, or one fault of the cell itself if no phase failed.

use super::{CellModel, PhaseModel, PhaseOutcome};
use crate::event::Failure;

/// One reason why a cell failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault<'a> {
    /// The cell.
    pub cell: &'a CellModel,
    /// The phase; `None` if the cell failed without a failed phase.
    pub phase: Option<&'a PhaseModel>,
}

impl CellModel {
    /// The faults of the cell. Never empty for a cell that failed, so that no failed cell is reported without a reason.
    pub fn faults(&self) -> Vec<Fault<'_>> {
        let failed = self.phases.iter().filter(|phase| phase.is_failure());
        let mut phases: Vec<_> = failed.map(Some).collect();
        if phases.is_empty() && self.is_failure() {
            phases.push(None);
        }
        let faults = phases.into_iter().map(|phase| Fault { cell: self, phase });
        faults.collect()
    }
}

impl<'a> Fault<'a> {
    /// The failure; `None` if the phase was interrupted, or if no phase failed.
    pub fn failure(&self) -> Option<&'a Failure> {
        self.phase.and_then(PhaseModel::failure)
    }

    /// The cell and the phase: `k8s-1.30-n1-fast in cluster`.
    pub fn place(&self) -> String {
        format!("{}{}", self.cell.summary.id, self.phase_place())
    }

    /// The phase within the cell, as in ` in cluster`; empty if the fault belongs to the cell itself.
    pub fn phase_place(&self) -> String {
        self.phase
            .map_or(String::new(), |phase| format!(" in {}", phase.name()))
    }

    /// The kind of fault: `product: counter-not-met`, or the cell's verdict if the fault isn't a failure.
    pub fn kind(&self) -> String {
        match self.failure() {
            Some(failure) => failure_kind(failure),
            None => self.cell.verdict.name().to_owned(),
        }
    }

    /// The reason, in one sentence.
    pub fn sentence(&self) -> String {
        if let Some(failure) = self.failure() {
            return failure.message.clone();
        }
        let reason = self.cell.reason.as_deref();
        let reason = reason.unwrap_or("the record gives no reason");
        match self.phase.map(|phase| &phase.outcome) {
            Some(PhaseOutcome::Interrupted(Some(last_progress))) => {
                format!("{reason} (last seen: {last_progress})")
            }
            Some(
                PhaseOutcome::Interrupted(None)
                | PhaseOutcome::Passed
                | PhaseOutcome::Failed(_)
                | PhaseOutcome::Skipped(_),
            )
            | None => reason.to_owned(),
        }
    }
}

/// The class and symptom of a failure: `product: counter-not-met`.
pub fn failure_kind(failure: &Failure) -> String {
    format!("{}: {}", failure.class(), failure.symptom)
}
