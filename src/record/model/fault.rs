//! Why a cell is red: one fault a red phase, or one of the cell's own where no phase says it.

use super::{CellModel, PhaseModel, PhaseOutcome};
use crate::event::Failure;

/// One reason of a red cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault<'a> {
    /// The cell.
    pub cell: &'a CellModel,
    /// The phase; none where the cell is red and no phase of it is.
    pub phase: Option<&'a PhaseModel>,
}

impl CellModel {
    /// Why it is red; empty where it is not. Never empty where it is, so that no red cell goes without a word.
    pub fn faults(&self) -> Vec<Fault<'_>> {
        let red = self.phases.iter().filter(|phase| phase.is_red());
        let mut faults: Vec<_> = red
            .map(|phase| Fault {
                cell: self,
                phase: Some(phase),
            })
            .collect();
        if faults.is_empty() && self.is_red() {
            faults.push(Fault {
                cell: self,
                phase: None,
            });
        }
        faults
    }
}

impl<'a> Fault<'a> {
    /// The failure, where that is what it is.
    pub fn failure(&self) -> Option<&'a Failure> {
        self.phase.and_then(PhaseModel::failure)
    }

    /// Where: `k8s-1.30-n1-fast in cluster`.
    pub fn place(&self) -> String {
        format!("{}{}", self.cell.summary.id, self.phase_place())
    }

    /// Where in the cell: ` in cluster`; empty for what is the cell's own.
    pub fn phase_place(&self) -> String {
        self.phase
            .map_or(String::new(), |phase| format!(" in {}", phase.name()))
    }

    /// What: `product: counter-not-met`; for what is no failure, the cell's verdict.
    pub fn kind(&self) -> String {
        match self.failure() {
            Some(failure) => failure_kind(failure),
            None => self.cell.verdict.name().to_owned(),
        }
    }

    /// Why, in one sentence.
    pub fn sentence(&self) -> String {
        if let Some(failure) = self.failure() {
            return failure.message.clone();
        }
        let reason = self.cell.reason.as_deref();
        let reason = reason.unwrap_or("the record does not say why");
        match self.phase.map(|phase| &phase.outcome) {
            Some(PhaseOutcome::Interrupted(Some(last_words))) => {
                format!("{reason} (last seen: {last_words})")
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

/// `product: counter-not-met`.
pub fn failure_kind(failure: &Failure) -> String {
    format!("{}: {}", failure.class(), failure.symptom)
}
