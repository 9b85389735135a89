//! The failures: one block per failed or flaky cell, with the most important facts.

use super::layout::wrapped;
use crate::event::{Failure, LogExcerpt};
use crate::excerpt::shortened;
use crate::record::model::{CellModel, Fault, RunModel};
use crate::report::marks::{self, Tone};
use crate::report::paint::Paint;
use crate::report::summary::cells_with_failures;
use crate::report::text;

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
    let mut blocks = Blocks {
        text: String::new(),
        width: width.map(|width| width.max(LEAST_WIDTH)),
        paint,
    };
    let cells = cells_with_failures(run);
    for cell in cells.iter().take(CELLS_SHOWN) {
        blocks.cell(cell);
        blocks.line("");
    }
    if cells.len() > CELLS_SHOWN {
        let more = text::counted(cells.len() - CELLS_SHOWN, "more failed or flaky cell");
        blocks.line(&format!("and {more}"));
    }
    blocks.text
}

/// The blocks so far, and their layout.
struct Blocks {
    text: String,
    /// The width of the terminal; `None` if lines aren't wrapped.
    width: Option<usize>,
    paint: Paint,
}

impl Blocks {
    /// A failed cell, or the failed attempts of a flaky one.
    fn cell(&mut self, cell: &CellModel) {
        let (verdict, tone) = marks::verdict(cell);
        let verdict = self.paint.tone(tone, &verdict);
        if cell.is_flaky() {
            let (id, attempt) = (self.paint.strong(cell.summary.id.as_str()), cell.attempt);
            self.line(&format!("{verdict} {id}: passed on attempt {attempt}"));
        }
        for fault in cell.faults() {
            let place = self.paint.strong(&fault.place());
            let kind = fault.failure().map(|_| format!(" ({})", fault.kind()));
            self.line(&format!("{verdict} {place}{}", kind.unwrap_or_default()));
            self.fault(fault);
        }
        self.files(cell);
        for attempt in &cell.earlier {
            for fault in attempt.faults() {
                self.sentence("", &text::attempt(&fault));
                self.fault(fault);
            }
            self.files(attempt);
        }
    }

    fn fault(&mut self, fault: Fault<'_>) {
        match fault.failure() {
            Some(failure) => self.failure(fault.cell, failure),
            None => self.sentence("", &fault.sentence()),
        }
    }

    /// The files of a failed attempt. If its failures have no log excerpts, also the excerpts from these files.
    fn files(&mut self, attempt: &CellModel) {
        let faults = attempt.faults();
        let mut failures = faults.iter().filter_map(Fault::failure);
        if failures.all(|failure| failure.logs.is_empty()) {
            self.logs(&attempt.quotes);
        }
        if !attempt.diagnostics.is_empty() {
            self.sentence("files: ", &attempt.diagnostics.join(", "));
        }
        // Commands aren't wrapped, so that they can be copied.
        for command in &attempt.kept {
            self.line(&format!("  to inspect: {command}"));
        }
    }

    fn failure(&mut self, cell: &CellModel, failure: &Failure) {
        self.sentence("", &failure.message);
        let unmet = failure.evidence.iter().filter(|one| !one.holds);
        let table = text::evidence_table(cell, unmet, EVIDENCE_SHOWN).unwrap_or_default();
        self.verbatim("    ", &table);
        self.logs(&failure.logs);
        if let Some(remedy) = &failure.remedy {
            self.sentence("hint: ", remedy);
        }
        if let Some(cause) = &failure.likely_cause {
            self.sentence("likely cause: ", &cause.message);
            self.sentence("evidence: ", &cause.line);
            self.sentence("", "to fix it:");
            self.verbatim("      ", &cause.fix);
        }
        if let Some(command) = text::usual_causes(failure) {
            self.line(&format!("  usual causes: {command}"));
        }
    }

    fn logs(&mut self, logs: &[LogExcerpt]) {
        let bar = self.paint.tone(Tone::Quiet, "│");
        for log in logs.iter().take(LOGS_SHOWN) {
            let title = format!("    {}:", text::log_title(log));
            self.line(&self.paint.tone(Tone::Quiet, &title));
            let shown = shortened(&log.lines, LINES_SHOWN);
            for line in shown.iter().flat_map(|line| line.lines()) {
                let pieces = match self.width {
                    Some(width) => textwrap::wrap(line, text::wrapping(width - MARGIN)),
                    None => vec![line.into()],
                };
                for piece in pieces {
                    self.line(&format!("    {bar} {piece}"));
                }
            }
        }
    }

    /// `label` and `text`, indented.
    fn sentence(&mut self, label: &str, text: &str) {
        for paragraph in format!("{label}{text}").lines() {
            match self.width {
                Some(width) => self.text += &wrapped(paragraph, width, "  "),
                None => self.line(&format!("  {paragraph}")),
            }
        }
    }

    /// The lines of `text`, which aren't wrapped, so that they can be copied.
    fn verbatim(&mut self, indent: &str, text: &str) {
        for line in text.lines() {
            self.line(&format!("{indent}{line}"));
        }
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }
}
