//! A cell and its attempts while events are folded. After the last event, attempts and phases that are still running
//! are ended.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{CellModel, PhaseDetails, PhaseModel, PhaseOutcome};
use crate::event::{CellSummary, CellVerdict, Execution, PhaseResult, PhaseStatus};
use crate::matrix::{CellId, Phase};
use crate::record::unique;

/// A cell, according to the events so far.
#[derive(Clone)]
pub(super) struct CellDraft {
    /// The current attempt, with the phases that have ended, in the order in which they ended.
    pub(super) model: CellModel,
    /// The phases that are running.
    open: BTreeMap<Stage, OpenPhase>,
    has_end: bool,
    /// When the cell ended, or the end of the session that cut it off.
    ended: Option<Timestamp>,
}

/// A phase, or a command after it.
pub(super) type Stage = (Phase, Option<String>);

/// A phase that is running.
#[derive(Clone)]
struct OpenPhase {
    begun: Timestamp,
    last_progress: Option<String>,
}

impl CellDraft {
    /// A cell of which only the id is known.
    pub(super) fn new(id: CellId) -> Self {
        Self::of(CellSummary {
            id,
            kubernetes: String::new(),
            nodes: 0,
            config: String::new(),
            axes: Vec::new(),
            tags: Vec::new(),
            allow_failure: false,
            repetition: None,
        })
    }

    /// A cell that hasn't started.
    fn of(summary: CellSummary) -> Self {
        let model = CellModel {
            summary,
            attempt: 1,
            earlier: Vec::new(),
            host: None,
            cluster: None,
            started: None,
            verdict: CellVerdict::Skipped,
            cannot_run: false,
            reason: None,
            duration_ms: 0,
            load: None,
            facts: None,
            phases: Vec::new(),
            counters: None,
            steps: Vec::new(),
            kept: Vec::new(),
            diagnostics: Vec::new(),
            quotes: Vec::new(),
        };
        Self {
            model,
            open: BTreeMap::new(),
            has_end: false,
            ended: None,
        }
    }

    /// Starts a new attempt. An attempt that was neither retried nor finished is dropped, because the run was killed
    /// during it.
    pub(super) fn begin(
        &mut self,
        number: u32,
        cluster: String,
        host: Option<String>,
        at: Timestamp,
    ) {
        let next = Self::of(self.model.summary.clone());
        let before = std::mem::replace(self, next);
        self.model.attempt = number.max(1);
        self.model.cluster = Some(cluster);
        self.model.host = host;
        self.model.started = Some(at);
        if number > 1 {
            self.model.earlier = before.model.earlier;
        }
    }

    /// Adds the attempt, which has ended, to the earlier attempts, and prepares the next one.
    pub(super) fn retry(&mut self, at: Timestamp, stages: &[(Phase, Option<&str>)]) {
        let next = Self::of(self.model.summary.clone());
        let mut attempt = std::mem::replace(self, next).finish(at, stages);
        self.model.attempt = attempt.attempt.saturating_add(1);
        self.model.host = attempt.host.take();
        self.model.earlier = std::mem::take(&mut attempt.earlier);
        self.model.earlier.push(attempt);
    }

    /// Ends the attempt. The phases that are still running are interrupted.
    pub(super) fn end(
        &mut self,
        verdict: CellVerdict,
        reason: Option<String>,
        duration_ms: u64,
        at: Timestamp,
    ) {
        self.model.verdict = verdict;
        self.model.reason = reason;
        self.model.duration_ms = duration_ms;
        self.has_end = true;
        self.ended = Some(at);
        for (stage, open) in std::mem::take(&mut self.open) {
            let outcome = PhaseOutcome::Interrupted(open.last_progress);
            self.model.phases.push(PhaseModel {
                start_ms: Some(self.since_start(open.begun)),
                duration_ms: milliseconds_between(open.begun, at),
                ..without_result(stage, outcome)
            });
        }
        self.model.phases.shrink_to_fit();
    }

    /// Records that the session ended at `last`. Unless the cell has ended already or is started again, it ended at
    /// that time, too.
    pub(super) fn cut_off(&mut self, last: Timestamp) {
        self.ended.get_or_insert(last);
    }

    pub(super) fn open(&mut self, stage: Stage, at: Timestamp) {
        let phase = OpenPhase {
            begun: at,
            last_progress: None,
        };
        self.open.insert(stage, phase);
    }

    pub(super) fn progress(&mut self, phase: Phase, text: String) {
        if let Some(open) = self.open.get_mut(&(phase, None)) {
            open.last_progress = Some(text);
        }
    }

    pub(super) fn close(&mut self, result: PhaseResult) {
        let outcome = match result.status {
            PhaseStatus::Passed => PhaseOutcome::Passed,
            PhaseStatus::Failed { failure } => PhaseOutcome::Failed(Box::new(failure)),
            PhaseStatus::Skipped { reason } => PhaseOutcome::Skipped(reason),
        };
        let stage = (result.phase, result.command);
        let open = self.open.remove(&stage);
        let details = PhaseDetails {
            evidence: result.evidence,
            warnings: result.warnings,
            logs: result.logs,
        };
        self.model.phases.push(PhaseModel {
            execution: result.execution,
            start_ms: open.map(|open| self.since_start(open.begun)),
            duration_ms: result.duration_ms,
            details: (details != PhaseDetails::default()).then(|| Box::new(details)),
            ..without_result(stage, outcome)
        });
    }

    /// The model of the cell, with a phase for each of `stages`.
    pub(super) fn finish(mut self, last: Timestamp, stages: &[(Phase, Option<&str>)]) -> CellModel {
        let last = self.ended.unwrap_or(last);
        if !self.has_end {
            self.end_at(last);
        }
        let phases = stages.iter();
        let phases = phases.map(|(phase, command)| self.phase(*phase, *command));
        let mut phases: Vec<_> = phases.collect();
        if self.model.verdict == CellVerdict::Interrupted {
            mark_interruption(&mut phases);
        }
        // The output of a command that failed is also among the diagnostics of its phase.
        let diagnostics = unique(self.model.diagnostics.iter());
        CellModel {
            phases,
            diagnostics,
            ..self.model
        }
    }

    /// Ends a cell whose end isn't in the record.
    fn end_at(&mut self, last: Timestamp) {
        let began = self.model.began();
        let reason = match (self.model.started, began) {
            (Some(_), _) => "the run ended while this cell was running",
            (None, Some(_)) => "the run ended before the next attempt",
            (None, None) => "not started: the run ended early",
        };
        let (verdict, duration_ms) = match began {
            Some(began) => (CellVerdict::Interrupted, milliseconds_between(began, last)),
            None => (CellVerdict::Skipped, 0),
        };
        self.end(verdict, Some(reason.to_owned()), duration_ms, last);
    }

    fn phase(&mut self, phase: Phase, command: Option<&str>) -> PhaseModel {
        let mut phases = self.model.phases.iter();
        let index = phases.rposition(|it| it.phase == phase && it.command.as_deref() == command);
        let ended = index.map(|index| self.model.phases.remove(index));
        ended.unwrap_or_else(|| {
            let stage = (phase, command.map(str::to_owned));
            without_result(stage, PhaseOutcome::Skipped(self.why_not_reached()))
        })
    }

    fn why_not_reached(&self) -> String {
        match self.model.verdict {
            CellVerdict::Skipped => {
                let reason = self.model.reason.clone();
                reason.unwrap_or_else(|| "not started".into())
            }
            CellVerdict::Interrupted => "the run ended before this phase".to_owned(),
            CellVerdict::Passed | CellVerdict::Flaky | CellVerdict::Failed | CellVerdict::Error => {
                "not reached".to_owned()
            }
        }
    }

    /// The time from the start of the cell to `at`, in milliseconds.
    fn since_start(&self, at: Timestamp) -> u64 {
        self.model
            .started
            .map_or(0, |started| milliseconds_between(started, at))
    }
}

/// A phase without a result.
fn without_result((phase, command): Stage, outcome: PhaseOutcome) -> PhaseModel {
    PhaseModel {
        phase,
        command,
        execution: Execution::Run,
        outcome,
        start_ms: None,
        duration_ms: 0,
        details: None,
    }
}

/// Marks the phase in which an interrupted cell stopped: the phase that was cut off, or else the first phase that
/// wasn't reached. Phases that the matrix file turns off are ignored, because they would not have run anyway.
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
