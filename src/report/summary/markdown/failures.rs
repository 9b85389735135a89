//! The failures: messages, with evidence and logs in folded sections.

use super::escape::{block, escape, folded};
use crate::event::{Failure, LogExcerpt};
use crate::excerpt::shortened;
use crate::record::model::{CellModel, Fault, PhaseModel, RunModel, failure_kind};
use crate::report::marks;
use crate::report::text::{self, push};

/// The maximum number of cells that are shown.
const CELLS_SHOWN: usize = 30;
/// The maximum number of rows of evidence per failure; failed checks come first.
const EVIDENCE_SHOWN: usize = 20;
/// The maximum number of lines per log.
const LINES_SHOWN: usize = 50;

pub(super) fn section(run: &RunModel) -> String {
    let failed = run.cells.iter().filter(|cell| cell.is_failure());
    let flaky = run.cells.iter().filter(|cell| cell.is_flaky());
    let shown: Vec<_> = failed.chain(flaky).collect();
    if shown.is_empty() && run.failures.is_empty() {
        return String::new();
    }
    let mut out = "### Failures\n\n".to_owned();
    for failure in &run.failures {
        let (kind, message) = (failure_kind(failure), escape(&failure.message));
        let remedy = remedy(failure);
        push(
            &mut out,
            format_args!("- **the run** ({kind}): {message}{remedy}\n"),
        );
    }
    for cell in shown.iter().take(CELLS_SHOWN) {
        out += &item_of_cell(cell);
    }
    if shown.len() > CELLS_SHOWN {
        push(
            &mut out,
            format_args!(
                "\nand {} more failed or flaky cells\n",
                shown.len() - CELLS_SHOWN
            ),
        );
    }
    out
}

/// A failed cell, or the failed attempts of a flaky one.
fn item_of_cell(cell: &CellModel) -> String {
    let mut out = String::new();
    let id = escape(cell.summary.id.as_str());
    if cell.is_flaky() {
        let (verdict, attempt) = (marks::verdict(cell), cell.attempt);
        push(
            &mut out,
            format_args!("- **{verdict}** {id}: passed on attempt {attempt}\n"),
        );
    }
    out.extend(cell.faults().iter().map(item));
    for fault in cell.earlier.iter().flat_map(CellModel::faults) {
        let (attempt, sentence) = (text::attempt(&fault), escape(&fault.sentence()));
        let remedy = fault.failure().map(remedy).unwrap_or_default();
        push(
            &mut out,
            format_args!("  - {attempt}: {sentence}{remedy}\n"),
        );
    }
    if cell.is_failure() {
        out += &details(cell, &id);
    }
    for attempt in &cell.earlier {
        out += &details(attempt, &format!("{id}, attempt {}", attempt.attempt));
    }
    out
}

fn item(fault: &Fault<'_>) -> String {
    let verdict = escape(&marks::verdict(fault.cell));
    let remedy = fault.failure().map(remedy).unwrap_or_default();
    format!(
        "- **{verdict}** {} ({}): {}{remedy}\n",
        escape(&fault.place()),
        fault.kind(),
        escape(&fault.sentence()),
    )
}

fn remedy(failure: &Failure) -> String {
    let remedy = failure.remedy.as_deref().map(escape);
    let mut out = remedy.map_or(String::new(), |remedy| format!("<br>*To do*: {remedy}"));
    if let Some(cause) = &failure.likely_cause {
        let message = escape(&cause.message);
        push(&mut out, format_args!("<br>*Likely cause*: {message}"));
    }
    if let Some(command) = text::usual_causes(failure) {
        push(&mut out, format_args!("<br>*Usual causes*: `{command}`"));
    }
    out
}

/// The evidence for the likely cause of a failure, and the fix.
fn cause(failure: &Failure) -> String {
    let Some(cause) = &failure.likely_cause else {
        return String::new();
    };
    let (line, fix) = (block(&cause.line), block(&cause.fix));
    format!("The likely cause shows in:\n\n{line}\nTo fix it:\n\n{fix}\n")
}

/// Evidence, logs and files of a failed cell or attempt, and the machine's load at its end.
fn details(cell: &CellModel, name: &str) -> String {
    let mut body = String::new();
    for failure in cell.phases.iter().filter_map(PhaseModel::failure) {
        body += &cause(failure);
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
    if !cell.kept.is_empty() {
        let commands = block(&cell.kept.join("\n"));
        push(
            &mut body,
            format_args!("\nTo inspect the kept cluster:\n\n{commands}"),
        );
    }
    if let Some(load) = &cell.load {
        push(&mut body, format_args!("\nMachine: {}\n", text::load(load)));
    }
    if body.is_empty() {
        return body;
    }
    let title = format!("Evidence and logs of {name}");
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

fn logs(logs: &[LogExcerpt]) -> String {
    let one = |log: &LogExcerpt| {
        let (title, lines) = (text::log_title(log), shortened(&log.lines, LINES_SHOWN));
        format!("{}\n\n{}\n", escape(&title), block(&lines.join("\n")))
    };
    logs.iter().map(one).collect()
}
