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
use crate::report::text;

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
        text::repetitions(run).join("\n"),
        tables::counters(run, table_width, paint),
        tables::times(run, paint),
        failures::section(run, width, paint),
        attribution(run).map_or_else(String::new, |text| paint.strong(&text)),
        last_line(run, paint),
    ];
    text::joined(&sections)
}

/// The run, its environment and its notices.
fn head(run: &RunModel, paint: Paint) -> String {
    let mut lines = Vec::new();
    if let Some(facts) = &run.facts {
        let scope = paint.strong(&text::scope(facts, run.cells.len()));
        let host = format!(" · {} ({})", facts.host.name, text::machine(&facts.host));
        lines.push(scope + &paint.tone(Tone::Quiet, &host));
    }
    for (name, value) in text::lineage(run) {
        lines.push(paint.tone(Tone::Quiet, &format!("{name} {value}")));
    }
    let local = text::not_exercised(run);
    lines.extend(local.map(|text| paint.tone(Tone::Warning, &text)));
    for notice in &run.notices {
        let text = format!("{}: {}", text::notice_mark(notice.severity), notice.text);
        lines.push(match notice.severity {
            Severity::Info => text,
            Severity::Warning => paint.tone(Tone::Warning, &text),
        });
    }
    lines.join("\n")
}

fn last_line(run: &RunModel, paint: Paint) -> String {
    // The class in `ERROR (infrastructure)` stays in lower case.
    let verdict = match text::run_verdict(run).split_once(" (") {
        Some((verdict, class)) => format!("{} ({class}", verdict.to_uppercase()),
        None => text::run_verdict(run).to_uppercase(),
    };
    let verdict = paint.strong(&paint.tone(marks::run_tone(run), &verdict));
    let (totals, duration) = (text::totals(run), text::duration(run.duration_ms));
    format!("{verdict}: {totals} in {duration}")
}

#[cfg(test)]
mod tests;
