//! Lines for events, shared by `console` and `progress`. Prints nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::marks::{self, Mark, Tone};
use super::paint::Paint;
use super::text::{self, push};
use crate::event::{
    CellSummary, CellVerdict, Event, PhaseResult, PhaseStatus, Record, RunFacts, SessionFacts,
    Severity,
};
use crate::matrix::CellId;
use crate::record::xml_text::clean;

/// The level of detail on the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Cells, and phases that fail.
    #[default]
    Cells,
    /// Every phase, and the files of diagnostics.
    Phases,
}

/// Converts events to lines, one after another.
#[derive(Debug, Default)]
pub(super) struct Lines {
    paint: Paint,
    detail: Detail,
    clock: Clock,
    /// The width of the column of ids.
    pub(super) id_width: usize,
    cells: usize,
    finished: BTreeMap<CellId, CellVerdict>,
    allowed: BTreeSet<CellId>,
    kept: Vec<String>,
}

/// The elapsed time of a run, without the time between its sessions.
#[derive(Debug, Default)]
struct Clock {
    before_ms: u64,
    started: Option<Timestamp>,
    last_ms: u64,
}

impl Clock {
    fn resume(&mut self, at: Timestamp) {
        self.before_ms = self.last_ms;
        self.started = Some(at);
    }

    fn elapsed_ms(&mut self, at: Timestamp) -> u64 {
        let started = *self.started.get_or_insert(at);
        let own = u64::try_from(at.duration_since(started).as_millis()).unwrap_or(0);
        self.last_ms = self.before_ms.saturating_add(own);
        self.last_ms
    }
}

impl Lines {
    pub(super) fn new(color: bool, detail: Detail) -> Self {
        Self {
            paint: Paint::new(color),
            detail,
            ..Self::default()
        }
    }

    /// `3/14 cells`.
    pub(super) fn progress(&self) -> String {
        format!("{}/{} cells", self.finished.len(), self.cells)
    }

    /// The line for `record`, without the line ending; `None` if there is nothing to show.
    pub(super) fn of(&mut self, record: &Record) -> Option<String> {
        if matches!(record.event, Event::RunResumed { .. }) {
            self.clock.resume(record.at);
        }
        let elapsed = text::duration(self.clock.elapsed_ms(record.at));
        let line = self.line(&record.event)?;
        Some(format!("{elapsed:>8}  {line}"))
    }

    fn line(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::RunStarted { facts } => Some(self.run(facts)),
            Event::RunResumed { facts } => Some(self.resumed(facts)),
            Event::Notice { severity, text } => Some(self.notice(*severity, text)),
            Event::CellsAdded { cells } => {
                self.add(cells);
                None
            }
            Event::CellStarted {
                cell,
                cluster,
                attempt,
            } => {
                let text = match attempt {
                    0 | 1 => format!("as {cluster}"),
                    attempt => format!("as {cluster}, attempt {attempt}"),
                };
                Some(self.cell(Tone::Quiet, "start", cell, &text))
            }
            // The failure of the attempt has its own line.
            Event::CellRetried {
                cell,
                attempt,
                verdict,
                duration_ms,
                wait_ms,
                ..
            } => {
                let (took, wait) = (text::duration(*duration_ms), text::duration(*wait_ms));
                let text = format!(
                    "attempt {attempt}: {verdict} after {took}; the next attempt starts in {wait} at the earliest"
                );
                Some(self.cell(Tone::Warning, "retry", cell, &text))
            }
            Event::PhaseFinished { cell, result } => self.phase(cell, result),
            Event::Diagnostics { cell, files, .. } => (self.detail == Detail::Phases).then(|| {
                let text = format!("diagnostics: {}", files.join(", "));
                self.cell(Tone::Quiet, "files", cell, &text)
            }),
            Event::CellFinished {
                cell,
                verdict,
                reason,
                duration_ms,
                ..
            } => Some(self.verdict(cell, *verdict, reason.as_deref(), *duration_ms)),
            Event::Interrupted { by } => {
                let text = format!("{}: ending the run and cleaning up its cells", by.name());
                Some(self.paint.tone(Tone::Warning, &text))
            }
            // These events are shown elsewhere: in the progress lines, or in the tables at the end.
            Event::CellWaiting { .. }
            | Event::CellFacts { .. }
            | Event::PhaseStarted { .. }
            | Event::PhaseProgress { .. }
            | Event::Counters { .. }
            | Event::Timings { .. } => None,
            Event::CellKept { cell, commands } => {
                self.kept.push(kept(cell, commands));
                None
            }
            // The kept clusters are shown last, so that they aren't overlooked.
            Event::RunFinished { .. } => {
                (!self.kept.is_empty()).then(|| self.kept.join("\n          "))
            }
        }
    }

    fn run(&mut self, facts: &RunFacts) -> String {
        self.add(&facts.cells);
        let mut line = text::scope(facts, facts.cells.len());
        if let Some(reason) = &facts.provider_reason {
            push(&mut line, format_args!(" ({reason})"));
        }
        self.paint.strong(&one_line(&line))
    }

    /// Cells that the end of the previous session interrupted still have to run.
    fn resumed(&mut self, facts: &SessionFacts) -> String {
        self.finished.retain(|_, verdict| verdict.is_settled());
        let (cells, jobs, host) = (self.progress(), facts.jobs, &facts.host.name);
        let line = format!("resumed on {host} after {cells}, {jobs} at once");
        self.paint.strong(&one_line(&line))
    }

    fn add(&mut self, cells: &[CellSummary]) {
        let widths = cells.iter().map(|cell| cell.id.as_str().len());
        self.id_width = widths.max().unwrap_or(0).max(self.id_width);
        self.cells += cells.len();
        let allowed = cells.iter().filter(|cell| cell.allow_failure);
        self.allowed.extend(allowed.map(|cell| cell.id.clone()));
    }

    fn notice(&self, severity: Severity, text: &str) -> String {
        let text = clean(text).replace('\n', "\n          ");
        match severity {
            Severity::Info => format!("note: {text}"),
            Severity::Warning => self.paint.tone(Tone::Warning, &format!("warning: {text}")),
        }
    }

    fn phase(&self, cell: &CellId, result: &PhaseResult) -> Option<String> {
        let phase = result.name();
        match (&result.status, self.detail) {
            (PhaseStatus::Failed { failure }, _) => {
                let text = format!("{phase}: {}", failure.message);
                let mark = Mark::of_failure(failure);
                Some(self.cell(mark.tone(), &mark.narrow(0), cell, &text))
            }
            (PhaseStatus::Passed | PhaseStatus::Skipped { .. }, Detail::Cells) => None,
            (PhaseStatus::Passed, Detail::Phases) => {
                let text = format!("{phase} {}", text::duration(result.duration_ms));
                Some(self.cell(Tone::Good, "ok", cell, &text))
            }
            (PhaseStatus::Skipped { reason }, Detail::Phases) => {
                Some(self.cell(Tone::Quiet, "skip", cell, &format!("{phase}: {reason}")))
            }
        }
    }

    fn verdict(
        &mut self,
        cell: &CellId,
        verdict: CellVerdict,
        reason: Option<&str>,
        duration_ms: u64,
    ) -> String {
        self.finished.insert(cell.clone(), verdict);
        let text = match reason {
            Some(reason) if verdict == CellVerdict::Skipped => reason.to_owned(),
            Some(_) | None => format!("in {}", text::duration(duration_ms)),
        };
        let has_failed = matches!(verdict, CellVerdict::Failed | CellVerdict::Error);
        let allowed = has_failed && self.allowed.contains(cell);
        let allowed = if allowed { ", allowed to fail" } else { "" };
        let text = format!("{text}{allowed} ({})", self.progress());
        let (tone, word) = (marks::verdict_tone(verdict), marks::verdict_word(verdict));
        self.cell(tone, &word, cell, &text)
    }

    fn cell(&self, tone: Tone, word: &str, cell: &CellId, text: &str) -> String {
        let word = self.word(tone, word);
        let width = self.id_width;
        format!("{word} {cell:<width$}  {}", one_line(text))
    }

    /// The word at the start of a line, in its column.
    fn word(&self, tone: Tone, word: &str) -> String {
        self.paint.tone(tone, &format!("{word:<11}"))
    }
}

/// A kept cluster, with the commands to inspect it.
fn kept(cell: &CellId, commands: &[String]) -> String {
    let commands = commands.iter();
    let commands = commands.map(|command| format!("\n            {}", one_line(command)));
    format!("kept: {cell}{}", commands.collect::<String>())
}

/// Text from outside the runner, without control characters and on one line.
pub(super) fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}
