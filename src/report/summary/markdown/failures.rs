//! The failures: messages, with evidence and logs in folded sections.

use super::budget::Budget;
use super::escape::{block, escape, folded};
use crate::event::{Failure, LogExcerpt};
use crate::excerpt::shortened;
use crate::record::model::{CellModel, Fault, PhaseModel, RunModel};
use crate::report::marks;
use crate::report::summary::cells_with_failures;
use crate::report::text::{self, push};

/// The maximum number of rows of evidence per failure; failed checks come first.
const EVIDENCE_SHOWN: usize = 20;
/// The maximum number of lines per log.
const LINES_SHOWN: usize = 50;

/// A failure in a few sentences, and the cell with its evidence and logs.
type Listed<'r> = (String, &'r CellModel);

/// The failures that there is room for.
pub(super) fn listed<'r>(run: &'r RunModel, budget: &mut Budget) -> Vec<Listed<'r>> {
    let cells = cells_with_failures(run).into_iter();
    let admitted = cells.map(|cell| (budget.admit("failure", item_of_cell(cell)), cell));
    admitted.filter(|(text, _)| !text.is_empty()).collect()
}

/// The section with the failures in `listed`, and as much evidence and logs as there is room for.
pub(super) fn section(listed: &[Listed<'_>], budget: &mut Budget) -> String {
    if listed.is_empty() {
        return String::new();
    }
    let mut out = "### Failures\n\n".to_owned();
    for (text, cell) in listed {
        out += text;
        for details in details_of_attempts(cell) {
            out += &budget.admit("excerpt", details);
        }
    }
    out
}

/// A failed cell, or the failed attempts of a flaky one.
fn item_of_cell(cell: &CellModel) -> String {
    let verdict = escape(&marks::verdict(cell).0);
    let mut lines = Vec::new();
    if cell.is_flaky() {
        let (id, attempt) = (escape(cell.summary.id.as_str()), cell.attempt);
        lines.push(format!("- **{verdict}** {id}: passed on attempt {attempt}"));
    }
    for fault in cell.faults() {
        let (place, kind, text) = (escape(&fault.place()), fault.kind(), sentence(&fault));
        lines.push(format!("- **{verdict}** {place} ({kind}): {text}"));
    }
    for fault in cell.earlier.iter().flat_map(CellModel::faults) {
        let (attempt, text) = (escape(&text::attempt(&fault)), sentence(&fault));
        lines.push(format!("  - {attempt}: {text}"));
    }
    lines.join("\n") + "\n"
}

/// Evidence, logs and files of each attempt that failed: first the last attempt, then the earlier ones in order.
fn details_of_attempts(cell: &CellModel) -> impl Iterator<Item = String> {
    let id = &cell.summary.id;
    let last = cell.is_failure().then(|| details(cell, id.as_str()));
    let earlier = cell.earlier.iter().map(move |attempt| {
        let name = format!("{id}, attempt {}", attempt.attempt);
        details(attempt, &name)
    });
    last.into_iter().chain(earlier)
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
