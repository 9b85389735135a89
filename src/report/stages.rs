//! The columns of the table of cells and phases.

use crate::event::CellVerdict;
use crate::matrix::Phase;
use crate::record::model::{CellModel, PhaseModel, RunModel};
use crate::report::marks::{self, Mark, QUICK_MS};

/// The columns of the table, one per phase and per command after a phase. Columns without information are left out.
pub(crate) struct Stages<'r> {
    /// The columns, in order.
    pub(crate) shown: Vec<Stage<'r>>,
    /// The names of the stages without a column, each with the reason.
    omitted: Vec<(&'r str, &'static str)>,
}

/// One column.
pub(crate) struct Stage<'r> {
    index: usize,
    phase: Phase,
    command: Option<&'r str>,
}

/// Why a stage has no column.
const QUICK: &str = "under 0.1 s in every cell";
const SIMULATED: &str = "simulated in every cell";

impl<'r> Stages<'r> {
    pub(crate) fn of(run: &'r RunModel) -> Self {
        let (mut shown, mut omitted) = (Vec::new(), Vec::new());
        for (index, (phase, command)) in run.stages().into_iter().enumerate() {
            let stage = Stage {
                index,
                phase,
                command,
            };
            match omission(run, &stage) {
                Some(reason) => omitted.push((stage.name(), reason)),
                None => shown.push(stage),
            }
        }
        Self { shown, omitted }
    }

    /// The results of `cell`, one per column.
    pub(crate) fn results<'c>(&self, cell: &'c CellModel) -> impl Iterator<Item = &'c PhaseModel> {
        self.shown.iter().filter_map(|stage| stage.of(cell))
    }

    /// The stages without a column, with the reasons.
    pub(crate) fn omitted(&self) -> Option<String> {
        let with = |reason: &&str| {
            let omitted = self.omitted.iter().filter(|(_, why)| why == reason);
            let names: Vec<_> = omitted.map(|(name, _)| *name).collect();
            (!names.is_empty()).then(|| format!("{} ({reason})", names.join(", ")))
        };
        let reasons: Vec<_> = [QUICK, SIMULATED].iter().filter_map(with).collect();
        (!reasons.is_empty()).then(|| format!("not shown: {}", reasons.join(", ")))
    }
}

impl<'r> Stage<'r> {
    /// The full name.
    pub(crate) fn name(&self) -> &'r str {
        self.command.unwrap_or(self.phase.name())
    }

    /// The heading of a narrow column.
    pub(crate) fn head(&self) -> &'r str {
        self.command.unwrap_or(marks::phase_head(self.phase))
    }

    /// The result in `cell`.
    fn of<'c>(&self, cell: &'c CellModel) -> Option<&'c PhaseModel> {
        cell.phases.get(self.index)
    }
}

/// The reason why `stage` has no column, if it is the same for each cell that ran.
fn omission(run: &RunModel, stage: &Stage<'_>) -> Option<&'static str> {
    let ran = |cell: &&CellModel| cell.verdict != CellVerdict::Skipped;
    let mut reasons = run.cells.iter().filter(ran).map(|cell| {
        let phase = stage.of(cell)?;
        match Mark::of(phase) {
            Mark::Passed if phase.duration_ms < QUICK_MS => Some(QUICK),
            Mark::Simulated => Some(SIMULATED),
            Mark::Passed | Mark::Failed | Mark::Error | Mark::Interrupted | Mark::Skipped => None,
        }
    });
    let first = reasons.next()??;
    reasons.all(|other| other == Some(first)).then_some(first)
}
