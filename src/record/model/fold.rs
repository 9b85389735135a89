//! The fold from events to the model, one event at a time, so that a record doesn't have to fit in memory.

use std::collections::HashMap;

use jiff::Timestamp;

use super::details::Budget;
use super::draft::{CellDraft, CellEnd, Stage, milliseconds_between};
use super::{Notice, ResumedModel, RunModel, cleaning};
use crate::event::{CellSummary, Event, Record, RunFacts, SessionFacts, Severity};
use crate::matrix::CellId;
use crate::record::xml_text::clean;

/// Builds the model of a run from its events.
#[derive(Clone, Default)]
pub struct ModelBuilder {
    run: RunModel,
    /// The machine of the current session.
    host: Option<String>,
    session: Session,
    cells: Vec<CellDraft>,
    indices: HashMap<CellId, usize>,
    last: Option<Timestamp>,
    pub(super) budget: Budget,
}

/// The duration of the current process of the run, and of those before it.
#[derive(Clone, Default)]
struct Session {
    before_ms: u64,
    started: Option<Timestamp>,
    ended_after: Option<u64>,
}

impl Session {
    fn duration_ms(&self, last: Timestamp) -> u64 {
        let started = self.started.unwrap_or(last);
        let own = self
            .ended_after
            .unwrap_or_else(|| milliseconds_between(started, last));
        self.before_ms.saturating_add(own)
    }
}

impl ModelBuilder {
    /// Applies the next event.
    pub fn apply(&mut self, record: &Record) {
        let at = record.at;
        self.run.started.get_or_insert(at);
        self.session.started.get_or_insert(at);
        self.event(&record.event, at);
        self.last = Some(at);
    }

    /// The model of all events so far.
    pub fn finish(mut self) -> RunModel {
        let Some(last) = self.last else {
            return self.run;
        };
        self.run.duration_ms = self.session.duration_ms(last);
        let stages = stages(&self.run);
        let cells = self.cells.into_iter();
        let cells = cells.map(|draft| draft.finish(last, &stages));
        self.run.cells = cells.collect();
        let parts = self.run.facts.iter().flat_map(|facts| &facts.parts);
        let hosts: HashMap<_, _> = parts
            .flat_map(|part| part.cells.iter().map(|cell| (cell.clone(), &part.host)))
            .collect();
        self.run.notices.extend(self.budget.notice());
        for cell in &mut self.run.cells {
            if let Some(host) = hosts.get(&cell.summary.id) {
                cell.host = Some((*host).clone());
            }
        }
        self.run
    }

    fn event(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::RunStarted { facts } => self.start(facts),
            Event::RunResumed { facts } => self.resume(facts, at),
            Event::Notice { severity, text } => self.notice(*severity, text),
            Event::CellsAdded { cells } => self.add(cells),
            Event::Interrupted { by } => self.run.signal = Some(*by),
            Event::RunFailed { failure } => self.run.failures.push(cleaning::failure(failure)),
            Event::RunFinished {
                verdict,
                duration_ms,
            } => {
                self.run.verdict = Some(*verdict);
                self.session.ended_after = Some(*duration_ms);
            }
            // The cell hasn't started.
            Event::CellWaiting { .. } => {}
            Event::CellStarted { cell, .. }
            | Event::CellFacts { cell, .. }
            | Event::PhaseStarted { cell, .. }
            | Event::PhaseProgress { cell, .. }
            | Event::PhaseFinished { cell, .. }
            | Event::Diagnostics { cell, .. }
            | Event::Counters { cell, .. }
            | Event::CellKept { cell, .. }
            | Event::Timings { cell, .. }
            | Event::CellRetried { cell, .. }
            | Event::CellFinished { cell, .. } => self.of_cell(cell, event, at),
        }
    }

    fn of_cell(&mut self, cell: &CellId, event: &Event, at: Timestamp) {
        let index = self.index_of(cell);
        let (draft, budget) = (&mut self.cells[index], &mut self.budget);
        match event {
            Event::CellStarted {
                cluster, attempt, ..
            } => draft.begin(*attempt, cluster, at, self.host.clone()),
            Event::CellFacts { facts, .. } => {
                draft.attempt.facts = Some(cleaning::cell_facts(facts));
            }
            Event::PhaseStarted { phase, command, .. } => {
                draft
                    .attempt
                    .open((*phase, command.as_deref().map(clean)), at);
            }
            Event::PhaseProgress { phase, text, .. } => draft.attempt.progress(*phase, text),
            Event::PhaseFinished { result, .. } => draft.attempt.close(result),
            Event::Diagnostics { files, quotes, .. } => {
                draft.attempt.diagnostics.extend(cleaning::texts(files));
                draft.attempt.quotes.extend(cleaning::logs(quotes));
            }
            Event::Counters { counters, .. } => {
                draft.attempt.counters = Some(cleaning::counters(counters));
            }
            Event::Timings { steps, .. } => draft.attempt.steps.extend(steps.iter().cloned()),
            Event::CellRetried {
                verdict,
                reason,
                duration_ms,
                load,
                ..
            } => {
                let end = CellEnd::new(*verdict, reason.as_deref(), *duration_ms, *load);
                draft.retry(end, at, &stages(&self.run), budget);
            }
            Event::CellFinished {
                verdict,
                reason,
                duration_ms,
                load,
                ..
            } => {
                let end = CellEnd::new(*verdict, reason.as_deref(), *duration_ms, *load);
                draft.end(end, at, budget);
            }
            Event::CellKept { commands, .. } => {
                draft.attempt.kept = cleaning::texts(commands);
            }
            Event::RunStarted { .. }
            | Event::RunResumed { .. }
            | Event::Notice { .. }
            | Event::CellsAdded { .. }
            | Event::CellWaiting { .. }
            | Event::Interrupted { .. }
            | Event::RunFailed { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    fn start(&mut self, facts: &RunFacts) {
        self.host = Some(clean(&facts.host.name));
        self.add(&facts.cells);
        self.run.facts = Some(cleaning::run_facts(facts));
    }

    /// Starts a new session. A cell that was cut off before stays cut off unless it starts again; the earlier verdict
    /// of the run no longer counts.
    fn resume(&mut self, facts: &SessionFacts, at: Timestamp) {
        let before = self.last.unwrap_or(at);
        self.session = Session {
            before_ms: self.session.duration_ms(before),
            started: Some(at),
            ended_after: None,
        };
        for cell in &mut self.cells {
            cell.cut_off(before);
        }
        self.run.verdict = None;
        self.run.signal = None;
        self.run.failures.clear();
        self.host = Some(clean(&facts.host.name));
        self.run.resumed.push(ResumedModel {
            at,
            facts: cleaning::session_facts(facts),
        });
    }

    /// Adds a notice. A notice after the end of the run is about its reports and is dropped, and so is one that an
    /// earlier session has added already.
    fn notice(&mut self, severity: Severity, text: &str) {
        let notice = Notice {
            severity,
            text: clean(text),
        };
        if self.run.verdict.is_none() && !self.run.notices.contains(&notice) {
            self.run.notices.push(notice);
        }
    }

    fn add(&mut self, cells: &[CellSummary]) {
        for summary in cells {
            let index = self.index_of(&summary.id);
            self.cells[index].summary = cleaning::summary(summary);
        }
    }

    /// The index of the draft of `id`. It is created if it doesn't exist: the run's facts may not list the cell.
    fn index_of(&mut self, id: &CellId) -> usize {
        if let Some(index) = self.indices.get(id) {
            return *index;
        }
        let index = self.cells.len();
        self.indices.insert(id.clone(), index);
        self.cells.push(CellDraft::new(id.clone()));
        index
    }
}

/// The stages of every cell in order.
fn stages(run: &RunModel) -> Vec<Stage> {
    let stages = run.stages().into_iter();
    stages
        .map(|(phase, command)| (phase, command.map(str::to_owned)))
        .collect()
}
