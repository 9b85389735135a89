//! The failures: messages, with evidence and logs in folded sections.

use super::escape::{block, escape, folded};
use crate::event::{Failure, LogExcerpt};
use crate::excerpt::shortened;
use crate::record::model::{CellModel, Fault, PhaseModel, RunModel, failure_kind};
use crate::report::marks;
use crate::report::summary::cells_with_failures;
use crate::report::text::{self, push};

/// The maximum number of cells that are shown.
const CELLS_SHOWN: usize = 30;
/// The maximum number of rows of evidence per failure; failed checks come first.
const EVIDENCE_SHOWN: usize = 20;
/// The maximum number of lines per log.
const LINES_SHOWN: usize = 50;

pub(super) fn section(run: &RunModel) -> String {
    let cells = cells_with_failures(run);
    if cells.is_empty() && run.failures.is_empty() {
        return String::new();
    }
    let mut out = "### Failures\n\n".to_owned();
    for failure in &run.failures {
        let kind = failure_kind(failure);
        let text = escape(&failure.message) + &remedy(failure);
        push(&mut out, format_args!("- **the run** ({kind}): {text}\n"));
    }
    for cell in cells.iter().take(CELLS_SHOWN) {
        out += &item_of_cell(cell);
    }
    if cells.len() > CELLS_SHOWN {
        let more = cells.len() - CELLS_SHOWN;
        push(
            &mut out,
            format_args!("\nand {more} more failed or flaky cells\n"),
        );
    }
    out
}

/// A failed cell, or the failed attempts of a flaky one.
fn item_of_cell(cell: &CellModel) -> String {
    let mut out = String::new();
    let id = escape(cell.summary.id.as_str());
    let verdict = escape(&marks::verdict(cell).0);
    if cell.is_flaky() {
        let text = format!("passed on attempt {}", cell.attempt);
        push(&mut out, format_args!("- **{verdict}** {id}: {text}\n"));
    }
    for fault in cell.faults() {
        let (place, kind, text) = (escape(&fault.place()), fault.kind(), sentence(&fault));
        push(
            &mut out,
            format_args!("- **{verdict}** {place} ({kind}): {text}\n"),
        );
    }
    for fault in cell.earlier.iter().flat_map(CellModel::faults) {
        let (attempt, text) = (text::attempt(&fault), sentence(&fault));
        push(&mut out, format_args!("  - {attempt}: {text}\n"));
    }
    if cell.is_failure() {
        out += &details(cell, &id);
    }
    for attempt in &cell.earlier {
        out += &details(attempt, &format!("{id}, attempt {}", attempt.attempt));
    }
    out
}

/// The reason, and what to do.
fn sentence(fault: &Fault<'_>) -> String {
    let remedy = fault.failure().map(remedy).unwrap_or_default();
    escape(&fault.sentence()) + &remedy
}

fn remedy(failure: &Failure) -> String {
    let remedy = failure.remedy.as_deref().map(escape);
    let mut out = remedy.map_or(String::new(), |remedy| format!("<br>*Hint*: {remedy}"));
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
        if let Some(table) = text::evidence_table(cell, &failure.evidence, EVIDENCE_SHOWN) {
            body += &block(&table);
            body.push('\n');
        }
        body += &logs(&failure.logs);
    }
    body += &logs(&cell.quotes);
    if !cell.diagnostics.is_empty() {
        let files = escape(&cell.diagnostics.join(", "));
        push(&mut body, format_args!("Files: {files}\n"));
    }
    if !cell.kept.is_empty() {
        body += "\nTo inspect the kept cluster:\n\n";
        body += &block(&cell.kept.join("\n"));
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

fn logs(logs: &[LogExcerpt]) -> String {
    let one = |log: &LogExcerpt| {
        let (title, lines) = (text::log_title(log), shortened(&log.lines, LINES_SHOWN));
        format!("{}\n\n{}\n", escape(&title), block(&lines.join("\n")))
    };
    logs.iter().map(one).collect()
}
