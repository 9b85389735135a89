//! The columns of the table of cells and phases.

use crate::event::CellVerdict;
use crate::matrix::Phase;
use crate::record::model::{CellModel, PhaseModel, RunModel};
use crate::report::marks::{self, Mark, QUICK_MS};

/// The columns of the table: a phase, or a command after it, per column. Columns without information are left out.
pub(crate) struct Stages<'r> {
    shown: Vec<Stage<'r>>,
    quick: Vec<&'r str>,
    simulated: Vec<&'r str>,
}

/// One column.
pub(crate) struct Stage<'r> {
    index: usize,
    phase: Phase,
    command: Option<&'r str>,
}

/// Why a stage has no column.
#[derive(PartialEq, Eq)]
enum Omission {
    /// It passed in less than 0.1 s in each cell that ran.
    Quick,
    /// It was simulated in each cell that ran.
    Simulated,
}

impl<'r> Stages<'r> {
    pub(crate) fn of(run: &'r RunModel) -> Self {
        let mut stages = Self {
            shown: Vec::new(),
            quick: Vec::new(),
            simulated: Vec::new(),
        };
        for (index, (phase, command)) in run.stages().into_iter().enumerate() {
            let stage = Stage {
                index,
                phase,
                command,
            };
            match omission(run, &stage) {
                Some(Omission::Quick) => stages.quick.push(stage.name()),
                Some(Omission::Simulated) => stages.simulated.push(stage.name()),
                None => stages.shown.push(stage),
            }
        }
        stages
    }

    /// The columns, in order.
    pub(crate) fn shown(&self) -> &[Stage<'r>] {
        &self.shown
    }

    /// The results of `cell`, one per column.
    pub(crate) fn results<'c>(&self, cell: &'c CellModel) -> impl Iterator<Item = &'c PhaseModel> {
        self.shown.iter().filter_map(|stage| stage.of(cell))
    }

    /// The stages without a column, with the reasons.
    pub(crate) fn omitted(&self) -> Option<String> {
        let reasons = [
            (&self.quick, "under 0.1 s in every cell"),
            (&self.simulated, "simulated in every cell"),
        ];
        let reasons = reasons.into_iter().filter(|(names, _)| !names.is_empty());
        let reasons: Vec<_> = reasons
            .map(|(names, why)| format!("{} ({why})", names.join(", ")))
            .collect();
        (!reasons.is_empty()).then(|| format!("not shown: {}", reasons.join(", ")))
    }
}

impl<'r> Stage<'r> {
    /// The full name.
    pub(crate) fn name(&self) -> &'r str {
        self.command.unwrap_or(self.phase.name())
    }

    /// The head of a narrow column.
    pub(crate) fn head(&self) -> &'r str {
        self.command.unwrap_or(marks::phase_head(self.phase))
    }

    /// The result in `cell`.
    fn of<'c>(&self, cell: &'c CellModel) -> Option<&'c PhaseModel> {
        cell.phases.get(self.index)
    }
}

fn omission(run: &RunModel, stage: &Stage<'_>) -> Option<Omission> {
    let ran = |cell: &&CellModel| cell.verdict != CellVerdict::Skipped;
    let mut omissions = run.cells.iter().filter(ran).map(|cell| {
        let phase = stage.of(cell)?;
        match Mark::of(phase) {
            Mark::Passed if phase.duration_ms < QUICK_MS => Some(Omission::Quick),
            Mark::Simulated => Some(Omission::Simulated),
            Mark::Passed | Mark::Failed | Mark::Error | Mark::Interrupted | Mark::Skipped => None,
        }
    });
    let first = omissions.next()??;
    omissions
        .all(|other| other.as_ref() == Some(&first))
        .then_some(first)
}
