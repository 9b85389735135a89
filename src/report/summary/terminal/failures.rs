//! Why things failed: one block a failure, with what a person needs before looking into a file.

use std::fmt::Write;

use super::layout::wrapped;
use crate::event::{Failure, FailureClass, LogTail};
use crate::report::marks::{self, Tone};
use crate::report::model::{CellModel, PhaseModel, PhaseOutcome, RunModel};
use crate::report::paint::Paint;
use crate::report::text;

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
        out += &format!("and {} more red cells\n", red.len() - CELLS_SHOWN);
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
        for phase in &cell.phases {
            match &phase.outcome {
                PhaseOutcome::Failed(failure) => {
                    let kind = format!(" ({}: {})", failure.class(), failure.symptom);
                    out += &self.title(cell, phase, &kind);
                    out += &self.failure(Some(cell), failure);
                }
                PhaseOutcome::Interrupted(last_words) => {
                    out += &self.title(cell, phase, "");
                    let reason = cell.reason.as_deref();
                    for text in reason.into_iter().chain(last_words.as_deref()) {
                        out += &self.sentence("", text);
                    }
                }
                PhaseOutcome::Passed | PhaseOutcome::Skipped(_) => {}
            }
        }
        if !cell.diagnostics.is_empty() {
            out += &self.sentence("files: ", &cell.diagnostics.join(", "));
        }
        out + "\n"
    }

    fn title(self, cell: &CellModel, phase: &PhaseModel, kind: &str) -> String {
        let verdict = self
            .paint
            .tone(marks::verdict_tone(cell), &marks::verdict(cell));
        let place = self
            .paint
            .strong(&format!("{} in {}", cell.summary.id, phase.phase));
        format!("{verdict} {place}{kind}\n")
    }

    fn failure(self, cell: Option<&CellModel>, failure: &Failure) -> String {
        let mut out = self.sentence("", &failure.message);
        if let Some(cell) = cell {
            out += &self.evidence(cell, failure);
        }
        for log in failure.logs.iter().take(LOGS_SHOWN) {
            out += &self.log(log);
        }
        if let Some(remedy) = &failure.remedy {
            out += &self.sentence("to do: ", remedy);
        }
        out
    }

    fn evidence(self, cell: &CellModel, failure: &Failure) -> String {
        let unmet: Vec<_> = failure.evidence.iter().filter(|one| !one.holds).collect();
        if unmet.is_empty() {
            return String::new();
        }
        let shown = &unmet[..unmet.len().min(EVIDENCE_SHOWN)];
        let mut out = indented(&text::evidence_table(cell, shown), "    ");
        if unmet.len() > shown.len() {
            out += &format!("    and {} more\n", unmet.len() - shown.len());
        }
        out
    }

    fn log(self, log: &LogTail) -> String {
        let skipped = log.lines.len().saturating_sub(LINES_SHOWN);
        let title = format!("    {}:\n", log.source);
        let mut out = self.paint.tone(Tone::Quiet, &title);
        for line in log.lines[skipped..].iter().flat_map(|line| line.lines()) {
            let fitting: String = line.chars().take(self.width.saturating_sub(6)).collect();
            writeln!(out, "    {} {fitting}", self.paint.tone(Tone::Quiet, "│"))
                .expect("text takes every write");
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

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}
