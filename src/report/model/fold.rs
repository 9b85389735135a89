//! The fold: records in, model out. Every event says what it changes; then what has no end gets one.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::{CellModel, Notice, PhaseModel, PhaseOutcome, RunModel, cleaning};
use crate::event::{
    CellFacts, CellSummary, CellVerdict, Event, Execution, LogTail, MachineLoad, NodeCounters,
    PhaseResult, PhaseStatus, Record, RunFacts, Step,
};
use crate::matrix::{CellId, Phase};
use crate::report::xml_text::clean;

pub(super) fn fold(records: &[Record]) -> RunModel {
    let mut fold = Fold::default();
    for record in records {
        fold.take(record);
    }
    fold.finish(records)
}

/// A run as far as its records went.
#[derive(Default)]
struct Fold {
    run: RunModel,
    ended_after: Option<u64>,
    cells: Vec<CellDraft>,
    places: HashMap<CellId, usize>,
}

/// A cell as far as its records went.
struct CellDraft {
    summary: CellSummary,
    earlier: Vec<CellModel>,
    attempt: AttemptDraft,
    end: Option<CellEnd>,
}

/// An attempt at a cell as far as its records went.
#[derive(Default)]
struct AttemptDraft {
    number: u32,
    cluster: Option<String>,
    started: Option<Timestamp>,
    facts: Option<CellFacts>,
    begun: BTreeMap<Phase, Timestamp>,
    phases: BTreeMap<Phase, PhaseDraft>,
    diagnostics: Vec<String>,
    quotes: Vec<LogTail>,
    counters: Option<NodeCounters>,
    steps: Vec<Step>,
}

/// How a cell, or an attempt at it, ended.
struct CellEnd {
    verdict: CellVerdict,
    reason: Option<String>,
    duration_ms: u64,
    load: Option<MachineLoad>,
}

/// A phase as far as its records went.
enum PhaseDraft {
    /// With its last words.
    Open(Option<String>),
    Closed(PhaseModel),
}

impl Fold {
    fn take(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::RunStarted { facts } => self.start(facts),
            Event::Notice { severity, text } => self.run.notices.push(Notice {
                severity: *severity,
                text: clean(text),
            }),
            Event::CellsAdded { cells } => self.add(cells),
            Event::CellStarted {
                cell,
                cluster,
                attempt,
            } => self.cell(cell).begin(*attempt, cluster, at),
            Event::CellFacts { cell, facts } => {
                self.attempt(cell).facts = Some(cleaning::cell_facts(facts));
            }
            Event::PhaseStarted { cell, phase } => self.attempt(cell).open(*phase, at),
            Event::PhaseProgress { cell, phase, text } => self.attempt(cell).progress(*phase, text),
            Event::PhaseFinished { cell, result } => self.attempt(cell).close(result),
            Event::Diagnostics {
                cell,
                files,
                quotes,
            } => {
                let draft = self.attempt(cell);
                draft.diagnostics.extend(cleaning::texts(files));
                draft.quotes.extend(cleaning::logs(quotes));
            }
            Event::Counters { cell, counters } => {
                self.attempt(cell).counters = Some(cleaning::counters(counters));
            }
            Event::Timings { cell, steps } => {
                self.attempt(cell).steps.extend(steps.iter().cloned());
            }
            Event::CellRetried {
                cell,
                attempt: _,
                verdict,
                reason,
                duration_ms,
                load,
                wait_ms: _,
            } => self.cell(cell).retry(
                CellEnd::new(*verdict, reason.as_deref(), *duration_ms, *load),
                at,
            ),
            Event::CellFinished {
                cell,
                verdict,
                reason,
                duration_ms,
                load,
            } => {
                let end = CellEnd::new(*verdict, reason.as_deref(), *duration_ms, *load);
                self.cell(cell).end = Some(end);
            }
            Event::Interrupted { by } => self.run.signal = Some(*by),
            Event::RunFailed { failure } => self.run.failures.push(cleaning::failure(failure)),
            Event::RunFinished {
                verdict,
                duration_ms,
            } => {
                self.run.verdict = Some(*verdict);
                self.ended_after = Some(*duration_ms);
            }
        }
    }

    fn start(&mut self, facts: &RunFacts) {
        self.add(&facts.cells);
        self.run.facts = Some(cleaning::run_facts(facts));
    }

    fn add(&mut self, cells: &[CellSummary]) {
        for summary in cells {
            self.cell(&summary.id).summary = summary.clone();
        }
    }

    /// The attempt at `id` that its records are about.
    fn attempt(&mut self, id: &CellId) -> &mut AttemptDraft {
        &mut self.cell(id).attempt
    }

    /// The draft of `id`, which the run's facts need not have named.
    fn cell(&mut self, id: &CellId) -> &mut CellDraft {
        let next = self.cells.len();
        let place = *self.places.entry(id.clone()).or_insert(next);
        if place == next {
            self.cells.push(CellDraft::new(id.clone()));
        }
        &mut self.cells[place]
    }

    fn finish(mut self, records: &[Record]) -> RunModel {
        let (first, last) = match records {
            [] => return self.run,
            [first, ..] => (first.at, records[records.len() - 1].at),
        };
        self.run.started = Some(first);
        self.run.duration_ms = self
            .ended_after
            .unwrap_or_else(|| milliseconds_between(first, last));
        let cells = self.cells.into_iter();
        self.run.cells = cells.map(|draft| draft.finish(last)).collect();
        self.run
    }
}

impl CellDraft {
    fn new(id: CellId) -> Self {
        let summary = CellSummary {
            id,
            kubernetes: String::new(),
            nodes: 0,
            config: String::new(),
            tags: Vec::new(),
            allow_failure: false,
            repetition: None,
        };
        Self {
            summary,
            earlier: Vec::new(),
            attempt: AttemptDraft::default(),
            end: None,
        }
    }

    /// A new attempt. What was said of one that was neither retried nor finished counts for nothing: the run was killed in it.
    fn begin(&mut self, number: u32, cluster: &str, at: Timestamp) {
        self.end = None;
        self.attempt = AttemptDraft {
            number,
            cluster: Some(clean(cluster)),
            started: Some(at),
            ..AttemptDraft::default()
        };
        if number <= 1 {
            self.earlier.clear();
        }
    }

    fn retry(&mut self, end: CellEnd, at: Timestamp) {
        let attempt = std::mem::take(&mut self.attempt);
        let model = attempt.finish(self.summary.clone(), end, at);
        self.earlier.push(model);
    }

    fn finish(mut self, last: Timestamp) -> CellModel {
        let end = match self.end.take() {
            Some(end) => end,
            None => self.attempt.missing_end(last),
        };
        CellModel {
            earlier: self.earlier,
            ..self.attempt.finish(self.summary, end, last)
        }
    }
}

impl CellEnd {
    fn new(
        verdict: CellVerdict,
        reason: Option<&str>,
        duration_ms: u64,
        load: Option<MachineLoad>,
    ) -> Self {
        Self {
            verdict,
            reason: reason.map(clean),
            duration_ms,
            load,
        }
    }
}

impl AttemptDraft {
    fn open(&mut self, phase: Phase, at: Timestamp) {
        self.begun.insert(phase, at);
        self.phases.insert(phase, PhaseDraft::Open(None));
    }

    fn progress(&mut self, phase: Phase, text: &str) {
        match self.phases.get_mut(&phase) {
            Some(PhaseDraft::Open(last_words)) => *last_words = Some(clean(text)),
            Some(PhaseDraft::Closed(_)) | None => {}
        }
    }

    fn close(&mut self, result: &PhaseResult) {
        let outcome = match &result.status {
            PhaseStatus::Passed => PhaseOutcome::Passed,
            PhaseStatus::Failed { failure } => PhaseOutcome::Failed(cleaning::failure(failure)),
            PhaseStatus::Skipped { reason } => PhaseOutcome::Skipped(clean(reason)),
        };
        let model = PhaseModel {
            phase: result.phase,
            execution: result.execution,
            outcome,
            start_ms: None,
            duration_ms: result.duration_ms,
            evidence: cleaning::evidence(&result.evidence),
            warnings: cleaning::texts(&result.warnings),
        };
        self.phases.insert(result.phase, PhaseDraft::Closed(model));
    }

    fn finish(mut self, summary: CellSummary, end: CellEnd, last: Timestamp) -> CellModel {
        let mut phases: Vec<_> = Phase::ALL
            .into_iter()
            .map(|phase| self.phase(phase, &end, last))
            .collect();
        if end.verdict == CellVerdict::Interrupted {
            mark_interruption(&mut phases);
        }
        CellModel {
            summary,
            attempt: self.number.max(1),
            earlier: Vec::new(),
            cluster: self.cluster,
            started: self.started,
            verdict: end.verdict,
            reason: end.reason,
            duration_ms: end.duration_ms,
            load: end.load,
            facts: self.facts,
            phases,
            counters: self.counters,
            steps: self.steps,
            diagnostics: self.diagnostics,
            quotes: self.quotes,
        }
    }

    fn phase(&mut self, phase: Phase, end: &CellEnd, last: Timestamp) -> PhaseModel {
        let begun = self.begun.get(&phase).copied();
        let cell = self.started.or(begun);
        let start_ms = cell
            .zip(begun)
            .map(|(cell, begun)| milliseconds_between(cell, begun));
        let (outcome, duration_ms) = match self.phases.remove(&phase) {
            Some(PhaseDraft::Closed(model)) => return PhaseModel { start_ms, ..model },
            Some(PhaseDraft::Open(last_words)) => (
                PhaseOutcome::Interrupted(last_words),
                begun.map_or(0, |begun| milliseconds_between(begun, last)),
            ),
            None => (PhaseOutcome::Skipped(why_not_reached(end)), 0),
        };
        PhaseModel {
            phase,
            execution: Execution::Run,
            outcome,
            start_ms,
            duration_ms,
            evidence: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn missing_end(&self, last: Timestamp) -> CellEnd {
        let Some(started) = self.started else {
            return CellEnd {
                load: None,
                verdict: CellVerdict::Skipped,
                reason: Some("the run ended before it began".to_owned()),
                duration_ms: 0,
            };
        };
        CellEnd {
            load: None,
            verdict: CellVerdict::Interrupted,
            reason: Some("the run ended in the middle of it".to_owned()),
            duration_ms: milliseconds_between(started, last),
        }
    }
}

fn why_not_reached(end: &CellEnd) -> String {
    match end.verdict {
        CellVerdict::Skipped => end.reason.clone().unwrap_or_else(|| "not started".into()),
        CellVerdict::Interrupted => "the run ended before it".to_owned(),
        CellVerdict::Passed | CellVerdict::Flaky | CellVerdict::Failed | CellVerdict::Broken => {
            "not reached".to_owned()
        }
    }
}

/// An interrupted cell is red in a phase: where none was cut off, in the first that was not reached.
fn mark_interruption(phases: &mut [PhaseModel]) {
    if phases.iter().any(PhaseModel::is_red) {
        return;
    }
    let first = phases
        .iter_mut()
        .find(|phase| matches!(phase.outcome, PhaseOutcome::Skipped(_)));
    if let Some(phase) = first {
        phase.outcome = PhaseOutcome::Interrupted(None);
    }
}

fn milliseconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}
