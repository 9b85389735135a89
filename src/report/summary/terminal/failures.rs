//! The failures: one block each, with the most important facts.

use super::layout::{pieces, wrapped};
use crate::event::{Failure, FailureClass, LikelyCause, LogExcerpt};
use crate::excerpt::shortened;
use crate::record::model::{CellModel, Fault, RunModel};
use crate::report::marks::{self, Tone};
use crate::report::paint::Paint;
use crate::report::text::{self, push};

/// The maximum number of cells with a block; the others are only counted.
const CELLS_SHOWN: usize = 10;
/// The maximum number of rows of evidence per failure.
const EVIDENCE_SHOWN: usize = 8;
/// The maximum number of logs per failure.
const LOGS_SHOWN: usize = 3;
const LINES_SHOWN: usize = 5;
/// Text for narrower terminals is wrapped at this width, so that lines have more than one word.
const LEAST_WIDTH: usize = 40;
/// The width of the margin before a line of a log.
const MARGIN: usize = 6;

pub(super) fn section(run: &RunModel, width: Option<usize>, paint: Paint) -> String {
    let block = Block {
        width: width.map(|width| width.max(LEAST_WIDTH)),
        paint,
    };
    let mut out = String::new();
    for failure in &run.failures {
        out += &paint.tone(tone(failure), &format!("RUN ({})\n", failure.symptom));
        out += &block.failure(None, failure);
        out.push('\n');
    }
    let failed = run.cells.iter().filter(|cell| cell.is_failure());
    let flaky = run.cells.iter().filter(|cell| cell.is_flaky());
    let shown: Vec<_> = failed.chain(flaky).collect();
    for cell in shown.iter().take(CELLS_SHOWN) {
        out += &block.cell(cell);
    }
    if shown.len() > CELLS_SHOWN {
        push(
            &mut out,
            format_args!(
                "and {} more failed or flaky cells\n",
                shown.len() - CELLS_SHOWN
            ),
        );
    }
    out.truncate(out.trim_end_matches('\n').len());
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

const fn tone(failure: &Failure) -> Tone {
    match failure.class() {
        FailureClass::Product => Tone::Bad,
        FailureClass::Configuration | FailureClass::Infrastructure => Tone::Warning,
    }
}

/// The layout of blocks.
#[derive(Clone, Copy)]
struct Block {
    /// The width of the terminal; `None` if lines aren't wrapped.
    width: Option<usize>,
    paint: Paint,
}

impl Block {
    /// A failed cell, or the failed attempts of a flaky one.
    fn cell(self, cell: &CellModel) -> String {
        let mut out = String::new();
        if cell.is_flaky() {
            out += &self.flaky_title(cell);
        }
        for fault in cell.faults() {
            out += &self.title(&fault);
            out += &self.fault(&fault);
        }
        out += &self.files(cell);
        for attempt in &cell.earlier {
            for fault in attempt.faults() {
                out += &self.sentence("", &text::attempt(&fault));
                out += &self.fault(&fault);
            }
            out += &self.files(attempt);
        }
        out + "\n"
    }

    fn fault(self, fault: &Fault<'_>) -> String {
        match fault.failure() {
            Some(failure) => self.failure(Some(fault.cell), failure),
            None => self.sentence("", &fault.sentence()),
        }
    }

    /// The files of a failed attempt, with excerpts if its failures have none.
    fn files(self, attempt: &CellModel) -> String {
        let mut out = String::new();
        let faults = attempt.faults();
        let mut failures = faults.iter().filter_map(Fault::failure);
        if failures.all(|failure| failure.logs.is_empty()) {
            out += &self.logs(&attempt.quotes);
        }
        if !attempt.diagnostics.is_empty() {
            out += &self.sentence("files: ", &attempt.diagnostics.join(", "));
        }
        // Never wrapped, so that commands can be copied.
        for command in &attempt.kept {
            push(&mut out, format_args!("  to inspect: {command}\n"));
        }
        out
    }

    fn flaky_title(self, cell: &CellModel) -> String {
        let verdict = self
            .paint
            .tone(marks::verdict_tone(cell), &marks::verdict(cell));
        let id = self.paint.strong(cell.summary.id.as_str());
        format!("{verdict} {id}: passed on attempt {}\n", cell.attempt)
    }

    fn title(self, fault: &Fault<'_>) -> String {
        let tone = marks::verdict_tone(fault.cell);
        let verdict = self.paint.tone(tone, &marks::verdict(fault.cell));
        let place = self.paint.strong(&fault.place());
        let kind = fault.failure().map(|_| format!(" ({})", fault.kind()));
        format!("{verdict} {place}{}\n", kind.unwrap_or_default())
    }

    fn failure(self, cell: Option<&CellModel>, failure: &Failure) -> String {
        let mut out = self.sentence("", &failure.message);
        if let Some(cell) = cell {
            out += &Self::evidence(cell, failure);
        }
        out += &self.logs(&failure.logs);
        if let Some(remedy) = &failure.remedy {
            out += &self.sentence("to do: ", remedy);
        }
        if let Some(cause) = &failure.likely_cause {
            out += &self.cause(cause);
        }
        if let Some(command) = text::usual_causes(failure) {
            // Never wrapped, so that it can be copied.
            push(&mut out, format_args!("  usual causes: {command}\n"));
        }
        out
    }

    fn cause(self, cause: &LikelyCause) -> String {
        let mut out = self.sentence("likely cause: ", &cause.message);
        out += &self.sentence("evidence: ", &cause.line);
        out += &self.sentence("", "to fix it:");
        // Never wrapped, so that it can be copied.
        for line in cause.fix.lines() {
            push(&mut out, format_args!("      {line}\n"));
        }
        out
    }

    fn evidence(cell: &CellModel, failure: &Failure) -> String {
        let unmet: Vec<_> = failure.evidence.iter().filter(|one| !one.holds).collect();
        if unmet.is_empty() {
            return String::new();
        }
        let shown = &unmet[..unmet.len().min(EVIDENCE_SHOWN)];
        let mut out = String::new();
        for line in text::evidence_table(cell, shown).lines() {
            push(&mut out, format_args!("    {line}\n"));
        }
        if unmet.len() > shown.len() {
            push(
                &mut out,
                format_args!("    and {} more\n", unmet.len() - shown.len()),
            );
        }
        out
    }

    fn logs(self, logs: &[LogExcerpt]) -> String {
        let shown = logs.iter().take(LOGS_SHOWN);
        shown.map(|log| self.log(log)).collect()
    }

    fn log(self, log: &LogExcerpt) -> String {
        let title = format!("    {}:\n", text::log_title(log));
        let mut out = self.paint.tone(Tone::Quiet, &title);
        let bar = self.paint.tone(Tone::Quiet, "│");
        let shown = shortened(&log.lines, LINES_SHOWN);
        for line in shown.iter().flat_map(|line| line.lines()) {
            let pieces = match self.width {
                Some(width) => pieces(line, width - MARGIN),
                None => vec![line.into()],
            };
            for piece in pieces {
                push(&mut out, format_args!("    {bar} {piece}\n"));
            }
        }
        out
    }

    /// An indented text after `label`.
    fn sentence(self, label: &str, text: &str) -> String {
        let mut out = String::new();
        for paragraph in format!("{label}{text}").lines() {
            match self.width {
                Some(width) => out += &wrapped(paragraph, width, "  "),
                None => push(&mut out, format_args!("  {paragraph}\n")),
            }
        }
        out
    }
}
