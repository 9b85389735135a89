//! Why things failed: one block a failure, with what a person needs before looking into a file.

use super::layout::wrapped;
use crate::event::{Failure, FailureClass, LogTail};
use crate::report::marks::{self, Tone};
use crate::report::model::{CellModel, Fault, RunModel};
use crate::report::paint::Paint;
use crate::report::text::{self, push};

/// Cells that get a block; the others are only counted.
const CELLS_SHOWN: usize = 10;
/// Lines of evidence of a failure.
const EVIDENCE_SHOWN: usize = 8;
/// Logs of a failure, and lines of each.
const LOGS_SHOWN: usize = 3;
const LINES_SHOWN: usize = 5;
/// Below this no sentence is wrapped: it would be one word a line.
const LEAST_WIDTH: usize = 40;

pub(super) fn section(run: &RunModel, width: usize, paint: Paint) -> String {
    let block = Block {
        width: width.max(LEAST_WIDTH),
        paint,
    };
    let mut out = String::new();
    for failure in &run.failures {
        out += &paint.tone(tone(failure), &format!("RUN ({})\n", failure.symptom));
        out += &block.failure(None, failure);
        out.push('\n');
    }
    let red: Vec<_> = run.cells.iter().filter(|cell| cell.is_red()).collect();
    for cell in red.iter().take(CELLS_SHOWN) {
        out += &block.cell(cell);
    }
    if red.len() > CELLS_SHOWN {
        push(
            &mut out,
            format_args!("and {} more red cells\n", red.len() - CELLS_SHOWN),
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

/// How blocks are laid out.
#[derive(Clone, Copy)]
struct Block {
    width: usize,
    paint: Paint,
}

impl Block {
    fn cell(self, cell: &CellModel) -> String {
        let mut out = String::new();
        let faults = cell.faults();
        for fault in &faults {
            out += &self.title(fault);
            out += &match fault.failure() {
                Some(failure) => self.failure(Some(cell), failure),
                None => self.sentence("", &fault.sentence()),
            };
        }
        let quoted = faults.iter().filter_map(Fault::failure);
        if quoted.map(|failure| failure.logs.len()).sum::<usize>() == 0 {
            out += &self.logs(&cell.quotes);
        }
        if !cell.diagnostics.is_empty() {
            out += &self.sentence("files: ", &cell.diagnostics.join(", "));
        }
        out + "\n"
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

    fn logs(self, logs: &[LogTail]) -> String {
        let shown = logs.iter().take(LOGS_SHOWN);
        shown.map(|log| self.log(log)).collect()
    }

    fn log(self, log: &LogTail) -> String {
        let skipped = log.lines.len().saturating_sub(LINES_SHOWN);
        let title = format!("    {}:\n", log.source);
        let mut out = self.paint.tone(Tone::Quiet, &title);
        for line in log.lines[skipped..].iter().flat_map(|line| line.lines()) {
            let fitting: String = line.chars().take(self.width.saturating_sub(6)).collect();
            let bar = self.paint.tone(Tone::Quiet, "│");
            push(
                &mut out,
                format_args!(
                    "    {bar} {fitting}
"
                ),
            );
        }
        out
    }

    /// A text behind `label`, wrapped between words and indented.
    fn sentence(self, label: &str, text: &str) -> String {
        let mut out = String::new();
        for paragraph in format!("{label}{text}").lines() {
            out += &wrapped(paragraph, self.width, "  ");
        }
        out
    }
}
