//! Why things failed: the sentence in sight, evidence and logs folded.

use super::escape::{block, escape, folded};
use crate::event::{Failure, LogTail};
use crate::report::marks;
use crate::report::model::{CellModel, PhaseModel, PhaseOutcome, RunModel};
use crate::report::text::{self, push};

/// Cells that are told about.
const CELLS_SHOWN: usize = 30;
/// Lines of evidence of one failure, those that do not hold first.
const EVIDENCE_SHOWN: usize = 20;
/// Lines of one log.
const LINES_SHOWN: usize = 50;

pub(super) fn section(run: &RunModel) -> String {
    let red: Vec<_> = run.cells.iter().filter(|cell| cell.is_red()).collect();
    if red.is_empty() && run.failures.is_empty() {
        return String::new();
    }
    let mut out = "### Why\n\n".to_owned();
    for failure in &run.failures {
        push(
            &mut out,
            format_args!("- **the run** ({}): {}\n", kind(failure), sentence(failure)),
        );
    }
    for cell in red.iter().take(CELLS_SHOWN) {
        for phase in &cell.phases {
            out += &item(cell, phase);
        }
        out += &details(cell);
    }
    if red.len() > CELLS_SHOWN {
        push(
            &mut out,
            format_args!("\nand {} more red cells\n", red.len() - CELLS_SHOWN),
        );
    }
    out
}

fn item(cell: &CellModel, phase: &PhaseModel) -> String {
    let title = format!(
        "- **{} {}** in {}",
        escape(&marks::verdict(cell)),
        escape(cell.summary.id.as_str()),
        phase.phase
    );
    match &phase.outcome {
        PhaseOutcome::Failed(failure) => {
            format!("{title} ({}): {}\n", kind(failure), sentence(failure))
        }
        PhaseOutcome::Interrupted(last_words) => {
            let reason = cell.reason.as_deref().into_iter();
            let texts: Vec<_> = reason.chain(last_words.as_deref()).map(escape).collect();
            format!("{title} (interrupted): {}\n", texts.join(": "))
        }
        PhaseOutcome::Passed | PhaseOutcome::Skipped(_) => String::new(),
    }
}

fn kind(failure: &Failure) -> String {
    format!("{}: {}", failure.class(), failure.symptom)
}

fn sentence(failure: &Failure) -> String {
    match &failure.remedy {
        Some(remedy) => format!(
            "{}<br>*To do*: {}",
            escape(&failure.message),
            escape(remedy)
        ),
        None => escape(&failure.message),
    }
}

/// Evidence, logs and files of a cell's failures.
fn details(cell: &CellModel) -> String {
    let mut body = String::new();
    for (_, failure) in cell.failures() {
        body += &evidence(cell, failure);
        body += &logs(&failure.logs);
    }
    body += &logs(&cell.quotes);
    if !cell.diagnostics.is_empty() {
        push(
            &mut body,
            format_args!("Files: {}\n", escape(&cell.diagnostics.join(", "))),
        );
    }
    if body.is_empty() {
        return body;
    }
    let title = format!("Evidence and logs of {}", escape(cell.summary.id.as_str()));
    format!("\n{}\n", folded(&title, &body))
}

fn evidence(cell: &CellModel, failure: &Failure) -> String {
    let mut sorted: Vec<_> = failure.evidence.iter().collect();
    sorted.sort_by_key(|one| one.holds);
    if sorted.is_empty() {
        return String::new();
    }
    let shown = &sorted[..sorted.len().min(EVIDENCE_SHOWN)];
    let mut text = text::evidence_table(cell, shown);
    if sorted.len() > shown.len() {
        push(
            &mut text,
            format_args!("\nand {} more", sorted.len() - shown.len()),
        );
    }
    block(&text) + "\n"
}

fn logs(tails: &[LogTail]) -> String {
    let one = |tail: &LogTail| {
        let from = tail.lines.len().saturating_sub(LINES_SHOWN);
        format!(
            "{}\n\n{}\n",
            escape(&tail.source),
            block(&tail.lines[from..].join("\n"))
        )
    };
    tails.iter().map(one).collect()
}
