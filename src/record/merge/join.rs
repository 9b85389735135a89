//! The events of a merged run: those of its parts that count, in the order of their times. Holds one event a part.

use std::collections::BTreeSet;
use std::iter::Peekable;

use jiff::Timestamp;

use super::{Part, Plan};
use crate::event::{Event, Record, VERSION};
use crate::matrix::CellId;
use crate::record::RecordError;
use crate::record::RecordReader;
use crate::record::model::CellModel;

/// When, and what.
type Moment = (Timestamp, Event);

/// All records of a merged run but the last, which says how it ended.
pub struct Joined<'p> {
    head: std::vec::IntoIter<Moment>,
    parts: Vec<Peekable<PartEvents<'p>>>,
    sequence: u64,
    last: Timestamp,
}

impl<'p> Joined<'p> {
    /// Opens the records of `parts`, as `plan` has sorted them.
    pub fn open(parts: &'p [Part], plan: &'p Plan) -> Result<Self, RecordError> {
        let first = parts.iter().map(|part| part.started).min();
        let first = first.unwrap_or(Timestamp::UNIX_EPOCH);
        let facts = plan.facts.clone();
        let mut head = vec![(first, Event::RunStarted { facts })];
        head.extend(
            plan.notices
                .iter()
                .cloned()
                .map(|(severity, text)| (first, Event::Notice { severity, text })),
        );
        let events = parts.iter().enumerate();
        let events =
            events.map(|(index, part)| Ok(PartEvents::open(part, index, plan)?.peekable()));
        Ok(Self {
            head: head.into_iter(),
            parts: events.collect::<Result<_, RecordError>>()?,
            sequence: 0,
            last: first,
        })
    }

    /// The record of `event`, after all that came before.
    pub fn closing(&self, event: Event) -> Record {
        self.record((self.last, event))
    }

    fn record(&self, (at, event): Moment) -> Record {
        Record {
            version: VERSION,
            sequence: self.sequence,
            at,
            event,
        }
    }

    /// The next event of all parts; of several at one time that of the first part.
    fn earliest(&mut self) -> Option<Result<Moment, RecordError>> {
        let times = self
            .parts
            .iter_mut()
            .enumerate()
            .filter_map(|(index, part)| {
                let at = match part.peek()? {
                    Ok((at, _)) => *at,
                    // Told at once.
                    Err(_) => Timestamp::MIN,
                };
                Some((at, index))
            });
        let (_, index) = times.min()?;
        self.parts[index].next()
    }
}

impl Iterator for Joined<'_> {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let moment = match self.head.next() {
            Some(moment) => Ok(moment),
            None => self.earliest()?,
        };
        Some(moment.map(|moment| {
            self.last = self.last.max(moment.0);
            let record = self.record(moment);
            self.sequence += 1;
            record
        }))
    }
}

/// The events of one part that count, and an end for every cell that has none.
struct PartEvents<'p> {
    part: &'p Part,
    index: usize,
    plan: &'p Plan,
    records: RecordReader,
    open: BTreeSet<&'p CellId>,
    is_cut_off: bool,
}

impl<'p> PartEvents<'p> {
    fn open(part: &'p Part, index: usize, plan: &'p Plan) -> Result<Self, RecordError> {
        let cells = part.run.cells.iter().map(|cell| &cell.summary.id);
        Ok(Self {
            records: part.events()?,
            open: cells.filter(|cell| plan.is_told_by(cell, index)).collect(),
            is_cut_off: plan.is_cut_off(part, index),
            part,
            index,
            plan,
        })
    }

    /// `event` as the merged run tells it; none where it says nothing of that.
    fn told(&mut self, event: Event) -> Option<Event> {
        if let Some(cell) = event.cell() {
            if !self.plan.is_told_by(cell, self.index) {
                return None;
            }
            if matches!(event, Event::CellFinished { .. }) {
                self.open.remove(cell);
            }
            return Some(event);
        }
        match event {
            Event::CellsAdded { mut cells } => {
                cells.retain(|cell| self.plan.is_told_by(&cell.id, self.index));
                (!cells.is_empty()).then_some(Event::CellsAdded { cells })
            }
            // What has run again since is not what the signal cut off.
            Event::Interrupted { .. } => self.is_cut_off.then_some(event),
            // The merged run has a beginning and an end of its own, and its parts have lost their sessions.
            Event::RunStarted { .. } | Event::RunResumed { .. } | Event::RunFinished { .. } => None,
            Event::Notice { .. }
            | Event::RunFailed { .. }
            | Event::CellStarted { .. }
            | Event::CellFacts { .. }
            | Event::PhaseStarted { .. }
            | Event::PhaseProgress { .. }
            | Event::PhaseFinished { .. }
            | Event::Diagnostics { .. }
            | Event::Counters { .. }
            | Event::CellKept { .. }
            | Event::Timings { .. }
            | Event::CellRetried { .. }
            | Event::CellFinished { .. } => Some(event),
        }
    }

    /// The end that the part's model gives to a cell without one: nothing that other parts did later belongs to it.
    fn missing_end(&mut self) -> Option<Moment> {
        let id = self.open.pop_first()?;
        let mut cells = self.part.run.cells.iter();
        let cell: &CellModel = cells.find(|cell| cell.summary.id == *id)?;
        let event = Event::CellFinished {
            cell: id.clone(),
            verdict: cell.verdict,
            reason: cell.reason.clone(),
            duration_ms: cell.duration_ms,
            load: cell.load,
        };
        Some((self.part.ended, event))
    }
}

impl Iterator for PartEvents<'_> {
    type Item = Result<Moment, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.records.next() {
                Some(Ok(Record { at, event, .. })) => {
                    if let Some(event) = self.told(event) {
                        return Some(Ok((at, event)));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => return self.missing_end().map(Ok),
            }
        }
    }
}
