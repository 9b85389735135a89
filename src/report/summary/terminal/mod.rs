//! The summary on a terminal. The tables fit into 120 columns; a narrower terminal may get one letter per phase.
//! Sentences and lines of logs are wrapped only on a terminal.
//!
//! Colors only repeat information that is also in the text.

mod failures;
mod layout;
mod matrix;
mod tables;

use crate::event::Severity;
use crate::record::model::RunModel;
use crate::report::attribution::attribution;
use crate::report::marks::{self, Tone};
use crate::report::paint::Paint;
use crate::report::text::{self, push};

/// The width of tables outside a terminal, into which the shipped matrix fits.
const TABLE_WIDTH: usize = 120;

/// The summary. `width` is the number of columns of the terminal; `None` for a file or a pipe. Colors are used if
/// `color` is set.
pub fn terminal(run: &RunModel, width: Option<usize>, color: bool) -> String {
    let paint = Paint::new(color);
    let table_width = width.unwrap_or(TABLE_WIDTH);
    let sections = [
        head(run, paint),
        matrix::section(run, table_width, paint),
        repetitions(run),
        tables::counters(run, table_width, paint),
        tables::times(run, paint),
        failures::section(run, width, paint),
        attributed(run, paint),
        totals(run, paint),
    ];
    let mut out = String::new();
    for section in sections.iter().filter(|section| !section.is_empty()) {
        push(&mut out, format_args!("{section}\n"));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// The run, its environment and its notices.
fn head(run: &RunModel, paint: Paint) -> String {
    let mut out = String::new();
    if let Some(facts) = &run.facts {
        let host = format!(" · {} ({})\n", facts.host.name, text::machine(&facts.host));
        out += &paint.strong(&text::scope(facts, run.cells.len()));
        out += &paint.tone(Tone::Quiet, &host);
    }
    for (name, value) in text::lineage(run) {
        out += &paint.tone(Tone::Quiet, &format!("{name} {value}\n"));
    }
    if run.is_local() {
        out += &paint.tone(Tone::Warning, &text::not_exercised(run));
        out.push('\n');
    }
    for notice in &run.notices {
        let text = format!("{}: {}", text::notice_mark(notice.severity), notice.text);
        out += &match notice.severity {
            Severity::Info => text,
            Severity::Warning => paint.tone(Tone::Warning, &text),
        };
        out.push('\n');
    }
    out
}

/// The counted verdicts of each cell's repetitions.
fn repetitions(run: &RunModel) -> String {
    text::repetitions(run)
        .into_iter()
        .map(|line| line + "\n")
        .collect()
}

/// The attribution of the failures.
fn attributed(run: &RunModel, paint: Paint) -> String {
    let attribution = attribution(run);
    attribution.map_or_else(String::new, |text| paint.strong(&text) + "\n")
}

/// The last line.
fn totals(run: &RunModel, paint: Paint) -> String {
    let tone = marks::run_tone(run);
    // The class in `ERROR (infrastructure)` stays in lower case.
    let verdict = match text::run_verdict(run).split_once(" (") {
        Some((verdict, class)) => format!("{} ({class}", verdict.to_uppercase()),
        None => text::run_verdict(run).to_uppercase(),
    };
    let verdict = paint.strong(&paint.tone(tone, &verdict));
    let duration = text::duration(run.duration_ms);
    match text::tally(run.tally()) {
        tally if tally.is_empty() => format!("{verdict}: no cells ran, in {duration}\n"),
        tally => format!("{verdict}: {tally} in {duration}\n"),
    }
}

#[cfg(test)]
mod tests;
