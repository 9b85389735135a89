//! The model of a run, folded from its events: the only input of JUnit, tables, Markdown and HTML.
//!
//! The model is a pure function of the events. An incomplete record has a model, too: cells and phases without an end
//! are `interrupted`. All text in it is clean (see [`XmlText`](super::XmlText)), so that no log can send escape
//! sequences to a terminal through a report.

mod details;
mod draft;
mod fault;
mod fold;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::event::{
    CellFacts, CellSummary, CellVerdict, CounterTable, Evidence, Execution, Failure, LogExcerpt,
    MachineLoad, Record, RunFacts, RunVerdict, SessionFacts, Severity, Step, Termination,
};
use crate::matrix::{Phase, ProviderChoice};
pub use fault::{Fault, failure_kind};
pub use fold::ModelBuilder;

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunModel {
    /// The facts that were known before the first cell started. Their list of cells is empty, because the cells are in
    /// `cells`. `None` if the record ends before these facts.
    pub facts: Option<RunFacts>,
    /// When the run started; `None` for an empty record.
    pub started: Option<Timestamp>,
    /// How long the run took, in milliseconds: all sessions together, up to the last event if the run was killed.
    pub duration_ms: u64,
    /// The later sessions, if the run was resumed.
    pub resumed: Vec<ResumedModel>,
    /// How the run ended; `None` if it was killed.
    pub verdict: Option<RunVerdict>,
    /// The signal or the run timeout that ended the run early.
    pub signal: Option<Termination>,
    /// Notices about the run.
    pub notices: Vec<Notice>,
    /// The selected cells, in matrix order.
    pub cells: Vec<CellModel>,
}

/// A later session of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ResumedModel {
    /// When it started.
    pub at: Timestamp,
    /// The facts of the session.
    pub facts: SessionFacts,
}

/// A notice about a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// Its severity.
    pub severity: Severity,
    /// The text, which may have several lines.
    pub text: String,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellModel {
    /// The facts that were known about the cell before it started.
    pub summary: CellSummary,
    /// The number of the attempt that the other fields describe, starting at 1.
    pub attempt: u32,
    /// The earlier attempts, in order, each in the form of a cell.
    pub earlier: Vec<Self>,
    /// The name of the machine that the cell ran on, if it was started.
    pub host: Option<String>,
    /// The name of its cluster, if it was started.
    pub cluster: Option<String>,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// Its verdict.
    pub verdict: CellVerdict,
    /// Whether it was skipped because it can't run here.
    pub cannot_run: bool,
    /// The reason, if it didn't pass.
    pub reason: Option<String>,
    /// How long it took in milliseconds, including earlier attempts.
    pub duration_ms: u64,
    /// The load of the machine when the cell ended.
    pub load: Option<MachineLoad>,
    /// Facts about its cluster.
    pub facts: Option<CellFacts>,
    /// Every phase of the suite, in order, each followed by its commands.
    pub phases: Vec<PhaseModel>,
    /// Its last counters.
    pub counters: Option<CounterModel>,
    /// The steps that took time within the phases.
    pub steps: Vec<Step>,
    /// The commands to inspect its cluster, if it was kept.
    pub kept: Vec<String>,
    /// The diagnostics files, relative to the run's folder.
    pub diagnostics: Vec<String>,
    /// Excerpts from these files.
    pub quotes: Vec<LogExcerpt>,
}

/// The last counters of a cell's mock.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterModel {
    /// The sums over all nodes, sorted by the counter's name. All cells share the strings of the names.
    pub total: Vec<(Arc<str>, u64)>,
    /// The counters of each node, by the name under which the node registered.
    pub nodes: BTreeMap<String, CounterTable>,
}

/// One phase of a cell, or a command after it.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseModel {
    /// The phase.
    pub phase: Phase,
    /// The name of the command after the phase; `None` for the phase itself.
    pub command: Option<String>,
    /// Whether the phase really ran or was simulated by the provider.
    pub execution: Execution,
    /// How it ended.
    pub outcome: PhaseOutcome,
    /// When it started, in milliseconds after the start of the cell; `None` if it didn't.
    pub start_ms: Option<u64>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What reports show in addition to the outcome; `None` if there is nothing to show, or if the details are only in
    /// the record.
    pub details: Option<Box<PhaseDetails>>,
}

/// What reports show of a phase in addition to its outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhaseDetails {
    /// The checks that held.
    pub evidence: Vec<Evidence>,
    /// Warnings, which don't change the verdict.
    pub warnings: Vec<String>,
    /// Excerpts from the output of a command that passed.
    pub logs: Vec<LogExcerpt>,
}

/// How a phase ended.
#[derive(Clone, Debug, PartialEq)]
pub enum PhaseOutcome {
    /// All checks held.
    Passed,
    /// A check didn't hold.
    Failed(Box<Failure>),
    /// The phase was skipped, for this reason.
    Skipped(String),
    /// The run ended during the phase. With its last progress message, if there was one.
    Interrupted(Option<String>),
}

/// How many cells ended with each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed on the first attempt.
    pub passed: usize,
    /// Passed on a retry.
    pub flaky: usize,
    /// Failed because of the product.
    pub failed: usize,
    /// Failed because of the infrastructure or the configuration.
    pub errors: usize,
    /// Failed, but allowed to fail.
    pub allowed: usize,
    /// Not started.
    pub skipped: usize,
    /// Interrupted.
    pub interrupted: usize,
}

impl RunModel {
    /// Folds `records`, the events of one run in order.
    pub fn new<'r>(records: impl IntoIterator<Item = &'r Record>) -> Self {
        let mut builder = ModelBuilder::default();
        for record in records {
            builder.apply(record);
        }
        builder.finish()
    }

    /// Whether the run used the local provider, without Kubernetes.
    pub fn is_local(&self) -> bool {
        self.facts
            .as_ref()
            .and_then(|facts| ProviderChoice::from_name(&facts.provider))
            == Some(ProviderChoice::Local)
    }

    /// The stages of every cell, in order: each phase, followed by its commands, which are given by name.
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

    /// How many cells ended with each verdict.
    pub fn tally(&self) -> Tally {
        Tally::of(&self.cells)
    }

    /// Each cell with all its repetitions, by its id in the matrix.
    pub fn by_id_in_matrix(&self) -> BTreeMap<&str, Vec<&CellModel>> {
        let mut cells: BTreeMap<&str, Vec<&CellModel>> = BTreeMap::new();
        for cell in &self.cells {
            cells.entry(cell.id_in_matrix()).or_default().push(cell);
        }
        cells
    }

    /// For each repeated cell, its id in the matrix and the tally of its repetitions.
    pub fn repeated(&self) -> Vec<(&str, Tally)> {
        let mut cells = self.by_id_in_matrix();
        // A test runner doesn't announce repetitions: only the numbers in their ids, from 2, distinguish them.
        let is_repetition =
            |cell: &&CellModel| cell.summary.repetition.is_some() || cell.summary.id.number() > 1;
        cells.retain(|_, cells| cells.iter().any(is_repetition));
        let cells = cells.into_iter();
        cells.map(|(id, cells)| (id, Tally::of(cells))).collect()
    }
}

impl Tally {
    /// Counts the verdicts of `cells`.
    pub fn of<'c>(cells: impl IntoIterator<Item = &'c CellModel>) -> Self {
        let mut tally = Self::default();
        for cell in cells {
            let count = match cell.verdict {
                CellVerdict::Passed => &mut tally.passed,
                CellVerdict::Flaky => &mut tally.flaky,
                CellVerdict::Failed | CellVerdict::Error if cell.summary.allow_failure => {
                    &mut tally.allowed
                }
                CellVerdict::Failed => &mut tally.failed,
                CellVerdict::Error => &mut tally.errors,
                CellVerdict::Skipped => &mut tally.skipped,
                CellVerdict::Interrupted => &mut tally.interrupted,
            };
            *count += 1;
        }
        tally
    }

    /// The number of cells.
    pub const fn total(self) -> usize {
        let passed = self.passed + self.flaky;
        passed + self.failed + self.errors + self.allowed + self.skipped + self.interrupted
    }
}

impl CellModel {
    /// Whether the cell neither passed nor was skipped.
    pub fn is_failure(&self) -> bool {
        match self.verdict {
            CellVerdict::Failed | CellVerdict::Error | CellVerdict::Interrupted => true,
            CellVerdict::Passed | CellVerdict::Flaky | CellVerdict::Skipped => false,
        }
    }

    /// Whether the end of the run interrupted the cell or kept it from starting.
    pub fn is_cut_off(&self) -> bool {
        match self.verdict {
            CellVerdict::Interrupted => true,
            CellVerdict::Skipped => !self.cannot_run,
            CellVerdict::Passed | CellVerdict::Flaky | CellVerdict::Failed | CellVerdict::Error => {
                false
            }
        }
    }

    /// Whether the cell passed on a retry.
    pub fn is_flaky(&self) -> bool {
        self.verdict == CellVerdict::Flaky
    }

    /// The id of the cell in the matrix, the same for all repetitions.
    pub fn id_in_matrix(&self) -> &str {
        self.summary.id.in_matrix()
    }

    /// When its first attempt started.
    pub fn began(&self) -> Option<Timestamp> {
        self.attempts().find_map(|attempt| attempt.started)
    }

    /// Every attempt in order; `self` is the last one.
    pub fn attempts(&self) -> impl Iterator<Item = &Self> {
        self.earlier.iter().chain([self])
    }

    /// The first phase that failed or was interrupted.
    pub fn failed_phase(&self) -> Option<&PhaseModel> {
        self.phases.iter().find(|phase| phase.is_failure())
    }

    /// The evidence of all phases, whether it held or not.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.phases.iter().flat_map(PhaseModel::all_evidence)
    }

    /// The name of a node without the name of its cluster.
    pub fn short_node<'a>(&self, node: &'a str) -> &'a str {
        let prefix = self.facts.as_ref().and_then(|it| it.node_prefix.as_deref());
        let cluster = self.cluster.as_deref();
        let rest = prefix
            .and_then(|prefix| node.strip_prefix(prefix))
            .or_else(|| node.strip_prefix(cluster?)?.strip_prefix('-'));
        rest.unwrap_or(node)
    }
}

impl CounterModel {
    /// The sum of a counter over all nodes; `None` if the mock didn't report it.
    pub fn total_of(&self, counter: &str) -> Option<u64> {
        let found = self
            .total
            .binary_search_by(|(name, _)| (**name).cmp(counter));
        found.ok().map(|index| self.total[index].1)
    }
}

impl PhaseModel {
    /// The name of the command, or of the phase.
    pub fn name(&self) -> &str {
        self.command.as_deref().unwrap_or(self.phase.name())
    }

    /// Whether the phase failed or was interrupted.
    pub fn is_failure(&self) -> bool {
        match self.outcome {
            PhaseOutcome::Failed(_) | PhaseOutcome::Interrupted(_) => true,
            PhaseOutcome::Passed | PhaseOutcome::Skipped(_) => false,
        }
    }

    /// The failure, if the phase failed.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            PhaseOutcome::Failed(failure) => Some(failure),
            PhaseOutcome::Passed | PhaseOutcome::Skipped(_) | PhaseOutcome::Interrupted(_) => None,
        }
    }

    /// The warnings of the phase, which don't change the verdict.
    pub fn warnings(&self) -> &[String] {
        self.details
            .as_ref()
            .map_or(&[], |details| &details.warnings)
    }

    /// Excerpts from the output of a command that passed.
    pub fn logs(&self) -> &[LogExcerpt] {
        self.details.as_ref().map_or(&[], |details| &details.logs)
    }

    /// All evidence, starting with the failed checks.
    pub fn all_evidence(&self) -> impl Iterator<Item = &Evidence> {
        let failed = self.failure().map(|failure| &failure.evidence);
        let held = self.details.as_ref().map(|details| &details.evidence);
        failed.into_iter().chain(held).flatten()
    }
}

#[cfg(test)]
mod tests;
