//! The failures: one block per failed or flaky cell, with the most important facts.

use super::layout::{pieces, wrapped};
use crate::event::{Failure, LikelyCause, LogExcerpt};
use crate::excerpt::shortened;
use crate::record::model::{CellModel, Fault, RunModel};
use crate::report::marks::{self, Mark, Tone};
use crate::report::paint::Paint;
use crate::report::summary::cells_with_failures;
use crate::report::text::{self, push};

/// The maximum number of cells that have a block. Any others are only counted.
const CELLS_SHOWN: usize = 10;
/// The maximum number of rows of evidence per failure.
const EVIDENCE_SHOWN: usize = 8;
/// The maximum number of logs per failure.
const LOGS_SHOWN: usize = 3;
const LINES_SHOWN: usize = 5;
/// The minimum width at which text is wrapped. On a narrower terminal, lines would otherwise have only a word or two.
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
        let tone = Mark::of_failure(failure).tone();
        out += &paint.tone(tone, &format!("RUN ({})\n", failure.symptom));
        out += &block.failure(None, failure);
        out.push('\n');
    }
    let cells = cells_with_failures(run);
    for cell in cells.iter().take(CELLS_SHOWN) {
        out += &block.cell(cell);
    }
    if cells.len() > CELLS_SHOWN {
        let more = cells.len() - CELLS_SHOWN;
        push(
            &mut out,
            format_args!("and {more} more failed or flaky cells\n"),
        );
    }
    out.truncate(out.trim_end_matches('\n').len());
    if !out.is_empty() {
        out.push('\n');
    }
    out
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
        let (verdict, tone) = marks::verdict(cell);
        let verdict = self.paint.tone(tone, &verdict);
        if cell.is_flaky() {
            let (id, attempt) = (self.paint.strong(cell.summary.id.as_str()), cell.attempt);
            push(
                &mut out,
                format_args!("{verdict} {id}: passed on attempt {attempt}\n"),
            );
        }
        for fault in cell.faults() {
            let place = self.paint.strong(&fault.place());
            let kind = fault.failure().map(|_| format!(" ({})", fault.kind()));
            let kind = kind.unwrap_or_default();
            push(&mut out, format_args!("{verdict} {place}{kind}\n"));
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

    /// The files of a failed attempt. If its failures have no log excerpts, also the excerpts from these files.
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
        // Commands aren't wrapped, so that they can be copied.
        for command in &attempt.kept {
            push(&mut out, format_args!("  to inspect: {command}\n"));
        }
        out
    }

    fn failure(self, cell: Option<&CellModel>, failure: &Failure) -> String {
        let mut out = self.sentence("", &failure.message);
        if let Some(cell) = cell {
            out += &Self::evidence(cell, failure);
        }
        out += &self.logs(&failure.logs);
        if let Some(remedy) = &failure.remedy {
            out += &self.sentence("hint: ", remedy);
        }
        if let Some(cause) = &failure.likely_cause {
            out += &self.cause(cause);
        }
        if let Some(command) = text::usual_causes(failure) {
            // The command isn't wrapped, so that it can be copied.
            push(&mut out, format_args!("  usual causes: {command}\n"));
        }
        out
    }

    fn cause(self, cause: &LikelyCause) -> String {
        let mut out = self.sentence("likely cause: ", &cause.message);
        out += &self.sentence("evidence: ", &cause.line);
        out += &self.sentence("", "to fix it:");
        // The fix isn't wrapped, so that it can be copied.
        for line in cause.fix.lines() {
            push(&mut out, format_args!("      {line}\n"));
        }
        out
    }

    fn evidence(cell: &CellModel, failure: &Failure) -> String {
        let unmet = failure.evidence.iter().filter(|one| !one.holds);
        let table = text::evidence_table(cell, unmet, EVIDENCE_SHOWN).unwrap_or_default();
        let lines = table.lines().map(|line| format!("    {line}\n"));
        lines.collect()
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

    /// `label` and `text`, indented.
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
