//! What a run came to, folded from its records: the one source of JUnit, tables, Markdown and HTML.
//!
//! A pure function of the records. Holds for torn records too: what has no end is `interrupted`. All text in here is
//! clean (see [`XmlText`](super::XmlText)), so that no log can speak to a terminal through a report.

mod cleaning;
mod draft;
mod fault;
mod fold;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::event::{
    CellFacts, CellSummary, CellVerdict, Evidence, Execution, Failure, LogExcerpt, MachineLoad,
    NodeCounters, Record, RunFacts, RunVerdict, SessionFacts, Severity, Step, Termination,
};
use crate::matrix::{Phase, ProviderChoice};
pub use fault::{Fault, failure_kind};
pub use fold::Folding;

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunModel {
    /// What was known before the first cell; none where the record does not reach that far.
    pub facts: Option<RunFacts>,
    /// When it began; none for an empty record.
    pub started: Option<Timestamp>,
    /// How long it took in milliseconds, every session of it together; up to the last record where it was killed.
    pub duration_ms: u64,
    /// When it went on after it had been killed or interrupted.
    pub resumed: Vec<ResumedModel>,
    /// How it ended; none where it was killed.
    pub verdict: Option<RunVerdict>,
    /// The signal that asked it to end.
    pub signal: Option<Termination>,
    /// What there is to know about it.
    pub notices: Vec<Notice>,
    /// Failures that belong to no cell.
    pub failures: Vec<Failure>,
    /// The selected cells, in their order.
    pub cells: Vec<CellModel>,
}

/// A later session of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ResumedModel {
    /// When it began.
    pub at: Timestamp,
    /// What is known of it.
    pub facts: SessionFacts,
}

/// Something to know about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How important.
    pub severity: Severity,
    /// The text, which may have several lines.
    pub text: String,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellModel {
    /// What the run knew of it before.
    pub summary: CellSummary,
    /// Which attempt the rest is about, from 1.
    pub attempt: u32,
    /// The attempts before it, the first one first, each as the cell that it would have been.
    pub earlier: Vec<Self>,
    /// The name of the machine that it ran on, once it was started.
    pub host: Option<String>,
    /// The name of its cluster, once it was started.
    pub cluster: Option<String>,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// How it ended.
    pub verdict: CellVerdict,
    /// Why, where it is not green.
    pub reason: Option<String>,
    /// How long it took in milliseconds, earlier attempts included.
    pub duration_ms: u64,
    /// What the machine was doing when it ended.
    pub load: Option<MachineLoad>,
    /// What is known of its cluster.
    pub facts: Option<CellFacts>,
    /// Every phase of the suite, in order, each followed by its commands.
    pub phases: Vec<PhaseModel>,
    /// Its counters at the end.
    pub counters: Option<NodeCounters>,
    /// Where its time went beside the phases.
    pub steps: Vec<Step>,
    /// The commands that look into what was kept of it; empty where nothing was.
    pub kept: Vec<String>,
    /// Diagnostics files, relative to the run's folder.
    pub diagnostics: Vec<String>,
    /// What is quoted of them.
    pub quotes: Vec<LogExcerpt>,
}

/// One phase of a cell, or a command after it.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseModel {
    /// Which.
    pub phase: Phase,
    /// The command after the phase, if it is not the phase itself.
    pub command: Option<String>,
    /// Really, or simulated by the provider.
    pub execution: Execution,
    /// How it ended.
    pub outcome: PhaseOutcome,
    /// When it began, in milliseconds after the cell's start; none where it did not.
    pub start_ms: Option<u64>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What was checked and held.
    pub evidence: Vec<Evidence>,
    /// Things to know that change no verdict.
    pub warnings: Vec<String>,
    /// The end of what a command printed that passed.
    pub logs: Vec<LogExcerpt>,
}

/// How a phase ended.
#[derive(Clone, Debug, PartialEq)]
pub enum PhaseOutcome {
    /// All of it held.
    Passed,
    /// Something did not.
    Failed(Failure),
    /// It was not looked at, for that reason.
    Skipped(String),
    /// The run ended in the middle of it. Its last words, where it had any.
    Interrupted(Option<String>),
}

/// How many cells ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Green.
    pub passed: usize,
    /// Green, but not at the first attempt.
    pub flaky: usize,
    /// Product failures that count.
    pub failed: usize,
    /// Infrastructure or configuration failures that count.
    pub broken: usize,
    /// Red cells that are allowed to be.
    pub allowed: usize,
    /// Not started.
    pub skipped: usize,
    /// Without an end.
    pub interrupted: usize,
}

impl RunModel {
    /// Folds `records`, which are those of one run in their order.
    pub fn new<'r>(records: impl IntoIterator<Item = &'r Record>) -> Self {
        let mut folding = Folding::default();
        for record in records {
            folding.take(record);
        }
        folding.finish()
    }

    /// Whether no Kubernetes was exercised.
    pub fn is_local(&self) -> bool {
        self.facts
            .as_ref()
            .and_then(|facts| ProviderChoice::named(&facts.provider))
            == Some(ProviderChoice::Local)
    }

    /// What every cell does, in order: the phases by themselves, the commands by their names.
    pub fn stages(&self) -> Vec<(Phase, Option<&str>)> {
        let commands = self.facts.iter().flat_map(|facts| &facts.commands);
        let commands: Vec<_> = commands.collect();
        let after = |phase| {
            let own = commands
                .iter()
                .filter(move |command| command.after == phase);
            let own = own.map(move |command| (phase, Some(&*command.name)));
            std::iter::once((phase, None)).chain(own)
        };
        Phase::ALL.into_iter().flat_map(after).collect()
    }

    /// How many cells ended how.
    pub fn tally(&self) -> Tally {
        Tally::of(&self.cells)
    }

    /// The cells that were repeated: each with its id in the matrix, and how its repetitions ended.
    pub fn repeated(&self) -> Vec<(&str, Tally)> {
        let mut cells: BTreeMap<&str, Vec<&CellModel>> = BTreeMap::new();
        for cell in &self.cells {
            if cell.summary.repetition.is_some() {
                cells.entry(cell.id_in_matrix()).or_default().push(cell);
            }
        }
        let cells = cells.into_iter();
        cells.map(|(id, cells)| (id, Tally::of(cells))).collect()
    }
}

impl Tally {
    /// Counts `cells`.
    pub fn of<'c>(cells: impl IntoIterator<Item = &'c CellModel>) -> Self {
        let mut tally = Self::default();
        for cell in cells {
            let count = match cell.verdict {
                CellVerdict::Passed => &mut tally.passed,
                CellVerdict::Flaky => &mut tally.flaky,
                CellVerdict::Failed | CellVerdict::Broken if cell.summary.allow_failure => {
                    &mut tally.allowed
                }
                CellVerdict::Failed => &mut tally.failed,
                CellVerdict::Broken => &mut tally.broken,
                CellVerdict::Skipped => &mut tally.skipped,
                CellVerdict::Interrupted => &mut tally.interrupted,
            };
            *count += 1;
        }
        tally
    }

    /// How many there are.
    pub const fn total(self) -> usize {
        let green = self.passed + self.flaky;
        green + self.failed + self.broken + self.allowed + self.skipped + self.interrupted
    }
}

impl CellModel {
    /// Whether it neither passed nor was left out.
    pub fn is_red(&self) -> bool {
        match self.verdict {
            CellVerdict::Failed | CellVerdict::Broken | CellVerdict::Interrupted => true,
            CellVerdict::Passed | CellVerdict::Flaky | CellVerdict::Skipped => false,
        }
    }

    /// Whether it passed, but not at the first attempt.
    pub fn is_flaky(&self) -> bool {
        self.verdict == CellVerdict::Flaky
    }

    /// The id of the cell in the matrix, whichever repetition of it this is.
    pub fn id_in_matrix(&self) -> &str {
        let id = self.summary.id.as_str();
        id.split_once('#').map_or(id, |(cell, _)| cell)
    }

    /// When its first attempt began.
    pub fn began(&self) -> Option<Timestamp> {
        self.attempts().find_map(|attempt| attempt.started)
    }

    /// Every attempt, the first one first; this is the last.
    pub fn attempts(&self) -> impl Iterator<Item = &Self> {
        self.earlier.iter().chain([self])
    }

    /// The phase in which it went wrong.
    pub fn red_phase(&self) -> Option<&PhaseModel> {
        self.phases.iter().find(|phase| phase.is_red())
    }

    /// All that was looked at, whether it held or not.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.phases.iter().flat_map(PhaseModel::all_evidence)
    }

    /// The name of a node without the cluster's in front of it.
    pub fn short_node<'a>(&self, node: &'a str) -> &'a str {
        let rest = self
            .cluster
            .as_deref()
            .and_then(|cluster| node.strip_prefix(cluster)?.strip_prefix('-'));
        rest.unwrap_or(node)
    }
}

impl PhaseModel {
    /// The name of the command, or else of the phase.
    pub fn name(&self) -> &str {
        self.command.as_deref().unwrap_or(self.phase.name())
    }

    /// Whether it failed or was cut off.
    pub fn is_red(&self) -> bool {
        match self.outcome {
            PhaseOutcome::Failed(_) | PhaseOutcome::Interrupted(_) => true,
            PhaseOutcome::Passed | PhaseOutcome::Skipped(_) => false,
        }
    }

    /// Why it failed.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            PhaseOutcome::Failed(failure) => Some(failure),
            PhaseOutcome::Passed | PhaseOutcome::Skipped(_) | PhaseOutcome::Interrupted(_) => None,
        }
    }

    /// What did not hold, then what did.
    pub fn all_evidence(&self) -> impl Iterator<Item = &Evidence> {
        let failed = self.failure().map_or(&[][..], |failure| &failure.evidence);
        failed.iter().chain(&self.evidence)
    }
}

#[cfg(test)]
mod tests;
