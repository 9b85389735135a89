//! The fold from events to the model, one event at a time, so that a record doesn't have to fit in memory.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::details::Budget;
use super::draft::{CellDraft, milliseconds_between};
use super::{CounterModel, Notice, ResumedModel, RunModel};
use crate::event::{CellSummary, Event, NodeCounters, Record, RunFacts, SessionFacts};
use crate::matrix::CellId;
use crate::record::unique;
use crate::record::xml_text::{clean, is_clean};

/// Builds the model of a run from its events.
#[derive(Clone, Default)]
pub struct ModelBuilder {
    run: RunModel,
    /// The machine of the current session.
    host: Option<String>,
    session: Session,
    cells: Vec<CellDraft>,
    indices: HashMap<CellId, usize>,
    counter_names: HashSet<Arc<str>>,
    last: Option<Timestamp>,
    pub(super) budget: Budget,
}

/// The durations of the run's current session and of all earlier sessions.
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
    /// Applies the next event. Its text is cleaned first, so that reports don't have to do that.
    pub fn apply(&mut self, record: &Record) {
        let at = record.at;
        self.run.started.get_or_insert(at);
        self.session.started.get_or_insert(at);
        let event = if has_clean_texts(&record.event) {
            record.event.clone()
        } else {
            record.event.map_texts(|_, text| clean(text))
        };
        self.event(event, at);
        self.last = Some(at);
    }

    /// The model of all events so far.
    pub fn finish(mut self) -> RunModel {
        let Some(last) = self.last else {
            return self.run;
        };
        self.run.duration_ms = self.session.duration_ms(last);
        let stages = self.run.stages();
        let drafts = self.cells.into_iter();
        let cells = drafts.map(|draft| draft.finish(last, &stages)).collect();
        self.run.cells = cells;
        for part in self.run.facts.iter().flat_map(|facts| &facts.parts) {
            for index in part.cells.iter().filter_map(|id| self.indices.get(id)) {
                self.run.cells[*index].host = Some(part.host.clone());
            }
        }
        // Each session of a run may give the same notice.
        self.run.notices = unique(self.run.notices.iter());
        self.run.notices.extend(self.budget.notice());
        self.run
    }

    fn event(&mut self, event: Event, at: Timestamp) {
        let is_retried = matches!(event, Event::CellRetried { .. });
        let is_unable = matches!(
            event,
            Event::CellFinished {
                cannot_run: true,
                ..
            }
        );
        match event {
            Event::RunStarted { facts } => self.start(facts),
            Event::RunResumed { facts } => self.resume(facts, at),
            Event::Notice { severity, text } => self.notice(Notice { severity, text }),
            Event::CellsAdded { cells } => self.add(cells),
            Event::Interrupted { by } => self.run.signal = Some(by),
            Event::RunFinished {
                verdict,
                duration_ms,
            } => {
                self.run.verdict = Some(verdict);
                self.session.ended_after = Some(duration_ms);
            }
            // The cell hasn't started.
            Event::CellWaiting { .. } => {}
            Event::CellStarted {
                cell,
                cluster,
                attempt,
            } => {
                let host = self.host.clone();
                self.draft(&cell).begin(attempt, cluster, host, at);
            }
            Event::CellFacts { cell, facts } => self.draft(&cell).model.facts = Some(facts),
            Event::PhaseStarted {
                cell,
                phase,
                command,
            } => self.draft(&cell).open((phase, command), at),
            Event::PhaseProgress { cell, phase, text } => self.draft(&cell).progress(phase, text),
            Event::PhaseFinished { cell, result } => self.draft(&cell).close(result),
            Event::Diagnostics {
                cell,
                files,
                quotes,
            } => {
                let model = &mut self.draft(&cell).model;
                model.diagnostics.extend(files);
                model.quotes.extend(quotes);
            }
            Event::Counters { cell, counters } => {
                let counters = self.counters(counters);
                self.draft(&cell).model.counters = Some(counters);
            }
            Event::Timings { cell, steps } => self.draft(&cell).model.steps.extend(steps),
            Event::CellKept { cell, commands } => self.draft(&cell).model.kept = commands,
            Event::CellRetried {
                cell,
                verdict,
                reason,
                duration_ms,
                load,
                ..
            }
            | Event::CellFinished {
                cell,
                verdict,
                reason,
                duration_ms,
                load,
                ..
            } => {
                let index = self.index_of(&cell);
                let draft = &mut self.cells[index];
                draft.end(verdict, reason, duration_ms, at);
                draft.model.cannot_run = is_unable;
                draft.model.load = load;
                self.budget.admit(&mut draft.model);
                if is_retried {
                    draft.retry(at, &self.run.stages());
                }
            }
        }
    }

    fn start(&mut self, mut facts: RunFacts) {
        self.host = Some(facts.host.name.clone());
        self.add(std::mem::take(&mut facts.cells));
        self.run.facts = Some(facts);
    }

    /// Starts a new session. A cell that was cut off before stays cut off unless it starts again; the earlier verdict
    /// of the run no longer counts.
    fn resume(&mut self, facts: SessionFacts, at: Timestamp) {
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
        self.host = Some(facts.host.name.clone());
        self.run.resumed.push(ResumedModel { at, facts });
    }

    /// Adds a notice. A notice after the end of the run is dropped, because it is about the reports.
    fn notice(&mut self, notice: Notice) {
        if self.run.verdict.is_none() {
            self.run.notices.push(notice);
        }
    }

    fn add(&mut self, cells: Vec<CellSummary>) {
        for summary in cells {
            let index = self.index_of(&summary.id);
            self.cells[index].model.summary = summary;
        }
    }

    fn counters(&mut self, counters: NodeCounters) -> CounterModel {
        let NodeCounters { total, nodes } = counters;
        let total = total.into_iter();
        let total = total.map(|(name, count)| (self.counter_name(name), count));
        CounterModel {
            total: total.collect(),
            nodes,
        }
    }

    /// The string that all counters named `name` share.
    fn counter_name(&mut self, name: String) -> Arc<str> {
        if let Some(known) = self.counter_names.get(&*name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.counter_names.insert(Arc::clone(&name));
        name
    }

    fn draft(&mut self, id: &CellId) -> &mut CellDraft {
        let index = self.index_of(id);
        &mut self.cells[index]
    }

    /// The index of the draft of `id`. The draft is created if it doesn't exist, because the run's facts may not list
    /// the cell.
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

/// Whether cleaning the texts of `event` would change nothing, as for most events. JSON escapes control characters
/// below U+0020, and contains all others as they are.
fn has_clean_texts(event: &Event) -> bool {
    const ESCAPES: [&str; 4] = ["\\u", "\\r", "\\b", "\\f"];
    serde_json::to_string(event)
        .is_ok_and(|json| !ESCAPES.iter().any(|escape| json.contains(escape)) && is_clean(&json))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Severity;

    proptest! {
        #[test]
        fn an_event_with_clean_texts_is_not_changed_by_cleaning(text in r"[a\\\t\n\r\x08\x0C\x1B\x7F\u{85}\u{FFFE}n]{0,4}") {
            let event = Event::Notice { severity: Severity::Info, text };
            let cleaned = event.map_texts(|_, text| clean(text));
            prop_assert!(!has_clean_texts(&event) || event == cleaned);
        }
    }

    #[test]
    fn ordinary_texts_are_clean() {
        let text = "a path\tC:\\new, \"quoted\",\nand \u{e9}".to_owned();
        let severity = Severity::Info;
        assert!(has_clean_texts(&Event::Notice { severity, text }));
    }
}
