//! The events of a merged run: those events of its parts that the merged run reports, sorted by time. Holds one event
//! per part in memory.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::slice;

use jiff::Timestamp;

use super::{Part, Plan};
use crate::event::{Event, Record, VERSION};
use crate::matrix::CellId;
use crate::record::model::CellModel;
use crate::record::{FILE_NAME, RecordError, RecordReader};

/// An event and its time.
type TimedEvent = (Timestamp, Event);

/// All events of a merged run except the last one, which states the verdict.
pub struct MergedEvents<'p> {
    head: std::vec::IntoIter<Event>,
    parts: Vec<Peekable<PartEvents<'p>>>,
    sequence: u64,
    last: Timestamp,
}

impl<'p> MergedEvents<'p> {
    /// Opens the records of `parts`, in the order of `plan`.
    pub fn open(parts: &'p [Part], plan: &Plan) -> Result<Self, RecordError> {
        let first = Part::first_start(parts);
        let facts = plan.facts.clone();
        let notices = plan.notices.iter().cloned();
        let notices = notices.map(|(severity, text)| Event::Notice { severity, text });
        let head = std::iter::once(Event::RunStarted { facts }).chain(notices);
        let head: Vec<Event> = head.collect();
        let events = parts
            .iter()
            .map(|part| Ok(PartEvents::open(part)?.peekable()));
        Ok(Self {
            head: head.into_iter(),
            parts: events.collect::<Result<_, RecordError>>()?,
            sequence: 0,
            last: first,
        })
    }

    /// `event` as the last event of the record.
    pub fn closing(&self, event: Event) -> Record {
        self.record((self.last, event))
    }

    fn record(&self, (at, event): TimedEvent) -> Record {
        Record {
            version: VERSION,
            sequence: self.sequence,
            at,
            event,
        }
    }

    /// The earliest of the parts' next events; if several have the same time, the first part's event.
    fn earliest(&mut self) -> Option<Result<TimedEvent, RecordError>> {
        let times = self
            .parts
            .iter_mut()
            .enumerate()
            .filter_map(|(index, part)| {
                let at = match part.peek()? {
                    Ok((at, _)) => *at,
                    // An error is returned immediately.
                    Err(_) => Timestamp::MIN,
                };
                Some((at, index))
            });
        let (_, index) = times.min()?;
        self.parts[index].next()
    }
}

impl Iterator for MergedEvents<'_> {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.head.next() {
            Some(event) => Ok((self.last, event)),
            None => self.earliest()?,
        };
        Some(next.map(|(at, event)| {
            self.last = self.last.max(at);
            let record = self.record((at, event));
            self.sequence += 1;
            record
        }))
    }
}

/// The events of one part that the merged run reports, plus an end for each cell whose end isn't in the record.
struct PartEvents<'p> {
    part: &'p Part,
    records: RecordReader,
    /// The reported cells without an end so far.
    open: BTreeSet<CellId>,
    /// The cells whose end may still have to be added.
    cells: slice::Iter<'p, CellModel>,
}

impl<'p> PartEvents<'p> {
    fn open(part: &'p Part) -> Result<Self, RecordError> {
        Ok(Self {
            part,
            records: RecordReader::open(&part.folder.join(FILE_NAME))?,
            open: part.reported.clone(),
            cells: part.run.cells.iter(),
        })
    }

    /// `event` as it appears in the merged run; `None` if it doesn't appear there.
    fn reported(&mut self, event: Event) -> Option<Event> {
        let reported = &self.part.reported;
        if event.cell().is_some_and(|cell| !reported.contains(cell)) {
            return None;
        }
        match event {
            Event::CellFinished { ref cell, .. } => {
                self.open.remove(cell);
                Some(event)
            }
            // In a resumed run, a cell that was cut off starts again, and its earlier end no longer counts.
            Event::CellStarted { ref cell, .. } => {
                self.open.insert(cell.clone());
                Some(event)
            }
            // If all cells that the signal cut off have run again since, or if the run was resumed after the signal, the
            // signal no longer counts.
            Event::Interrupted { by } => {
                let counts = self.part.run.signal == Some(by) && self.part.is_cut_off();
                counts.then_some(event)
            }
            // The merged run has its own start, which lists all cells, and its own end. The sessions of its parts are not
            // reported.
            Event::RunStarted { .. }
            | Event::RunResumed { .. }
            | Event::CellsAdded { .. }
            | Event::RunFinished { .. } => None,
            Event::Notice { .. }
            | Event::CellWaiting { .. }
            | Event::CellFacts { .. }
            | Event::PhaseStarted { .. }
            | Event::PhaseProgress { .. }
            | Event::PhaseFinished { .. }
            | Event::Diagnostics { .. }
            | Event::Counters { .. }
            | Event::CellKept { .. }
            | Event::Timings { .. }
            | Event::CellRetried { .. } => Some(event),
        }
    }

    /// The end of the next cell whose end isn't in the record, according to the part's model. It has the time of the
    /// part's last event, because later events belong to other parts.
    fn missing_end(&mut self) -> Option<TimedEvent> {
        let open = &self.open;
        let cell = self.cells.find(|cell| open.contains(&cell.summary.id))?;
        let event = Event::CellFinished {
            cell: cell.summary.id.clone(),
            verdict: cell.verdict,
            cannot_run: cell.cannot_run,
            reason: cell.reason.clone(),
            duration_ms: cell.duration_ms,
            load: cell.load,
        };
        Some((self.part.ended, event))
    }
}

impl Iterator for PartEvents<'_> {
    type Item = Result<TimedEvent, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.records.next() {
                Some(Ok(Record { at, event, .. })) => {
                    if let Some(event) = self.reported(event) {
                        return Some(Ok((at, event)));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => return self.missing_end().map(Ok),
            }
        }
    }
}
