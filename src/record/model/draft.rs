//! A cell and its attempts while events are folded. Whatever is still open at the end is closed.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::details::Budget;
use super::{CellModel, PhaseModel, PhaseOutcome, cleaning};
use crate::event::{
    CellFacts, CellSummary, CellVerdict, Execution, LogExcerpt, MachineLoad, NodeCounters,
    PhaseResult, PhaseStatus, Step,
};
use crate::matrix::{CellId, Phase};
use crate::record::xml_text::clean;

/// A cell, according to the events so far.
#[derive(Clone)]
pub(super) struct CellDraft {
    pub(super) summary: CellSummary,
    pub(super) attempt: AttemptDraft,
    host: Option<String>,
    earlier: Vec<CellModel>,
    end: Option<CellEnd>,
    /// When the cell ended, or the end of the session that cut it off.
    ended: Option<Timestamp>,
}

/// An attempt at a cell, according to the events so far.
#[derive(Clone, Default)]
pub(super) struct AttemptDraft {
    pub(super) facts: Option<CellFacts>,
    pub(super) diagnostics: Vec<String>,
    pub(super) quotes: Vec<LogExcerpt>,
    pub(super) counters: Option<NodeCounters>,
    pub(super) steps: Vec<Step>,
    pub(super) kept: Vec<String>,
    number: u32,
    cluster: Option<String>,
    started: Option<Timestamp>,
    begun: BTreeMap<Stage, Timestamp>,
    pub(super) phases: BTreeMap<Stage, PhaseDraft>,
}

/// How a cell or an attempt ended.
#[derive(Clone)]
pub(super) struct CellEnd {
    verdict: CellVerdict,
    reason: Option<String>,
    duration_ms: u64,
    load: Option<MachineLoad>,
}

/// A phase, or a command after it.
pub(super) type Stage = (Phase, Option<String>);

/// A phase, according to the events so far.
#[derive(Clone)]
pub(super) enum PhaseDraft {
    /// The phase is running; with its last progress message.
    Open(Option<String>),
    Closed(Box<PhaseModel>),
}

impl CellDraft {
    pub(super) fn new(id: CellId) -> Self {
        let summary = CellSummary {
            id,
            kubernetes: String::new(),
            nodes: 0,
            config: String::new(),
            axes: Vec::new(),
            tags: Vec::new(),
            allow_failure: false,
            repetition: None,
        };
        Self {
            summary,
            attempt: AttemptDraft::default(),
            host: None,
            earlier: Vec::new(),
            end: None,
            ended: None,
        }
    }

    /// Starts a new attempt. An attempt that was neither retried nor finished is dropped, because the run was killed
    /// during it.
    pub(super) fn begin(
        &mut self,
        number: u32,
        cluster: &str,
        at: Timestamp,
        host: Option<String>,
    ) {
        self.end = None;
        self.ended = None;
        self.host = host;
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

    pub(super) fn retry(
        &mut self,
        end: CellEnd,
        at: Timestamp,
        stages: &[Stage],
        budget: &mut Budget,
    ) {
        let mut attempt = std::mem::take(&mut self.attempt);
        budget.admit(&mut attempt, end.verdict);
        self.attempt.number = attempt.number.max(1).saturating_add(1);
        let model = attempt.finish(self.summary.clone(), end, at, stages);
        self.earlier.push(model);
    }

    pub(super) fn end(&mut self, end: CellEnd, at: Timestamp, budget: &mut Budget) {
        budget.admit(&mut self.attempt, end.verdict);
        self.end = Some(end);
        self.ended = Some(at);
    }

    /// Marks that the session ended at `last`. If the cell isn't started again, it ended at that time, too.
    pub(super) fn cut_off(&mut self, last: Timestamp) {
        if self.end.is_none() {
            self.ended.get_or_insert(last);
        }
    }

    pub(super) fn finish(mut self, last: Timestamp, stages: &[Stage]) -> CellModel {
        let last = self.ended.unwrap_or(last);
        let end = self.end.take().unwrap_or_else(|| self.missing_end(last));
        CellModel {
            host: self.host,
            earlier: self.earlier,
            ..self.attempt.finish(self.summary, end, last, stages)
        }
    }

    /// The end of a cell whose end isn't in the record.
    fn missing_end(&self, last: Timestamp) -> CellEnd {
        let first = self.earlier.first().and_then(|attempt| attempt.started);
        let reason = match (self.attempt.started, first) {
            (Some(_), _) => "the run ended during this phase",
            (None, Some(_)) => "the run ended before the next attempt",
            (None, None) => "the run ended before this cell started",
        };
        let began = first.or(self.attempt.started);
        CellEnd {
            load: None,
            verdict: match began {
                Some(_) => CellVerdict::Interrupted,
                None => CellVerdict::Skipped,
            },
            reason: Some(reason.to_owned()),
            duration_ms: began.map_or(0, |began| milliseconds_between(began, last)),
        }
    }
}

impl CellEnd {
    pub(super) fn new(
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
    pub(super) fn open(&mut self, stage: Stage, at: Timestamp) {
        self.begun.insert(stage.clone(), at);
        self.phases.insert(stage, PhaseDraft::Open(None));
    }

    pub(super) fn progress(&mut self, phase: Phase, text: &str) {
        match self.phases.get_mut(&(phase, None)) {
            Some(PhaseDraft::Open(last_progress)) => *last_progress = Some(clean(text)),
            Some(PhaseDraft::Closed(_)) | None => {}
        }
    }

    pub(super) fn close(&mut self, result: &PhaseResult) {
        let outcome = match &result.status {
            PhaseStatus::Passed => PhaseOutcome::Passed,
            PhaseStatus::Failed { failure } => PhaseOutcome::Failed(cleaning::failure(failure)),
            PhaseStatus::Skipped { reason } => PhaseOutcome::Skipped(clean(reason)),
        };
        let model = PhaseModel {
            phase: result.phase,
            command: result.command.as_deref().map(clean),
            execution: result.execution,
            outcome,
            start_ms: None,
            duration_ms: result.duration_ms,
            evidence: cleaning::evidence(&result.evidence),
            warnings: cleaning::texts(&result.warnings),
            logs: cleaning::logs(&result.logs),
        };
        let stage = (model.phase, model.command.clone());
        self.phases
            .insert(stage, PhaseDraft::Closed(Box::new(model)));
    }

    fn finish(
        mut self,
        summary: CellSummary,
        end: CellEnd,
        last: Timestamp,
        stages: &[Stage],
    ) -> CellModel {
        let mut phases: Vec<_> = stages
            .iter()
            .map(|stage| self.phase(stage, &end, last))
            .collect();
        if end.verdict == CellVerdict::Interrupted {
            mark_interruption(&mut phases);
        }
        CellModel {
            summary,
            attempt: self.number.max(1),
            earlier: Vec::new(),
            host: None,
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
            kept: self.kept,
            diagnostics: self.diagnostics,
            quotes: self.quotes,
        }
    }

    fn phase(&mut self, stage: &Stage, end: &CellEnd, last: Timestamp) -> PhaseModel {
        let begun = self.begun.get(stage).copied();
        let cell = self.started.or(begun);
        let start_ms = cell
            .zip(begun)
            .map(|(cell, begun)| milliseconds_between(cell, begun));
        let (outcome, duration_ms) = match self.phases.remove(stage) {
            Some(PhaseDraft::Closed(model)) => return PhaseModel { start_ms, ..*model },
            Some(PhaseDraft::Open(last_progress)) => (
                PhaseOutcome::Interrupted(last_progress),
                begun.map_or(0, |begun| milliseconds_between(begun, last)),
            ),
            None => (PhaseOutcome::Skipped(why_not_reached(end)), 0),
        };
        let (phase, command) = stage.clone();
        PhaseModel {
            phase,
            command,
            execution: Execution::Run,
            outcome,
            start_ms,
            duration_ms,
            evidence: Vec::new(),
            warnings: Vec::new(),
            logs: Vec::new(),
        }
    }
}

fn why_not_reached(end: &CellEnd) -> String {
    match end.verdict {
        CellVerdict::Skipped => end.reason.clone().unwrap_or_else(|| "not started".into()),
        CellVerdict::Interrupted => "the run ended before this phase".to_owned(),
        CellVerdict::Passed | CellVerdict::Flaky | CellVerdict::Failed | CellVerdict::Error => {
            "not reached".to_owned()
        }
    }
}

/// Marks the phase in which an interrupted cell stopped: the one that was cut off, or else the first one that wasn't
/// reached. A phase that the matrix file turns off would not have been reached anyway.
fn mark_interruption(phases: &mut [PhaseModel]) {
    if phases.iter().any(PhaseModel::is_failure) {
        return;
    }
    let first = phases.iter_mut().find(|phase| match &phase.outcome {
        PhaseOutcome::Skipped(reason) => *reason != phase.phase.turned_off(),
        PhaseOutcome::Passed | PhaseOutcome::Failed(_) | PhaseOutcome::Interrupted(_) => false,
    });
    if let Some(phase) = first {
        phase.outcome = PhaseOutcome::Interrupted(None);
    }
}

pub(super) fn milliseconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}
