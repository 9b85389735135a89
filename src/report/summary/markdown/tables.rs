//! Cells × phases, counters per cell and node, and durations.

use super::budget::Budget;
use super::escape::{escape, folded, row, table};
use crate::record::model::{CellModel, PhaseModel, RunModel};
use crate::report::marks::{self, Mark};
use crate::report::stages::Stages;
use crate::report::summary::counters::{self, CounterRow};
use crate::report::summary::times;
use crate::report::text::{self, push};

/// The maximum number of nodes per cell that get a row.
const NODES_SHOWN: usize = 10;
/// The maximum number of cells whose nodes are shown.
const CELLS_SHOWN: usize = 50;

pub(super) fn matrix(run: &RunModel, budget: &mut Budget) -> String {
    if run.cells.is_empty() {
        return String::new();
    }
    let mut head = vec![text::cell_column(run), "Kubernetes".to_owned()];
    let stages = Stages::of(run);
    head.extend(stages.shown.iter().map(|stage| escape(stage.name())));
    head.extend(["time".to_owned(), "verdict".to_owned()]);
    let rows = run.cells.iter().map(|cell| {
        let text = row(&verdict_cells(run, cell, &stages));
        budget.admit("table row", text)
    });
    let mut text = table(&head, rows, &(2..stages.shown.len() + 3));
    let starred = marks::has_star(run).then(|| "\\* allowed to fail".to_owned());
    let omitted = stages.omitted().map(|text| escape(&text));
    for note in starred.into_iter().chain(omitted) {
        push(&mut text, format_args!("\n{note}\n"));
    }
    text
}

fn verdict_cells(run: &RunModel, cell: &CellModel, stages: &Stages<'_>) -> Vec<String> {
    let mut cells = vec![
        escape(cell.summary.id.as_str()),
        escape(&text::kubernetes(run, cell)),
    ];
    cells.extend(stages.results(cell).map(phase_mark));
    cells.push(text::cell_duration(cell));
    cells.push(escaped(&marks::verdict(cell).0, cell.is_failure()));
    cells
}

/// `text` in a table cell, in bold type if it needs attention.
fn escaped(text: &str, is_bold: bool) -> String {
    let text = escape(text);
    if is_bold { format!("**{text}**") } else { text }
}

fn phase_mark(phase: &PhaseModel) -> String {
    let mark = Mark::of(phase);
    match mark {
        Mark::Passed => format!("ok {}", text::duration(phase.duration_ms)),
        Mark::Simulated => "sim".to_owned(),
        Mark::Failed | Mark::Error | Mark::Interrupted => {
            format!("**{}**", mark.narrow(phase.duration_ms))
        }
        Mark::Skipped => "skip".to_owned(),
    }
}

pub(super) fn counters(run: &RunModel) -> String {
    let cells = run.cells.iter();
    let counted: Vec<_> = cells.filter(|cell| cell.counters.is_some()).collect();
    if counted.is_empty() {
        return String::new();
    }
    let columns = counters::columns(run);
    let mut body = String::new();
    for cell in counted.iter().take(CELLS_SHOWN) {
        let id = escape(cell.summary.id.as_str());
        let table = counter_table(cell, &columns);
        push(&mut body, format_args!("**{id}**\n\n{table}\n"));
    }
    if counted.len() > CELLS_SHOWN {
        let more = text::counted(counted.len() - CELLS_SHOWN, "more cell");
        push(&mut body, format_args!("and {more}\n"));
    }
    let title = format!("Counters per cell and node{}", text::local_mark(run));
    folded(&title, &body)
}

fn counter_table(cell: &CellModel, columns: &[&str]) -> String {
    let mut head = vec!["node".to_owned()];
    let names = columns.iter().map(|name| marks::short_counter(name));
    head.extend(names.map(escape));
    let nodes = counters::nodes(cell, columns);
    let total = counters::total(cell, columns);
    let mut rows: Vec<_> = total.iter().map(counter_row).collect();
    rows.extend(expectation_row(cell, columns));
    rows.extend(nodes.iter().take(NODES_SHOWN).map(counter_row));
    if nodes.len() > NODES_SHOWN {
        rows.extend(counters::minimum(cell, columns).as_ref().map(counter_row));
        rows.push(row(&[format!("and {} more", nodes.len() - NODES_SHOWN)]));
    }
    table(&head, rows, &(1..columns.len() + 1))
}

/// A row with the expectations per node, if the evidence contains them.
fn expectation_row(cell: &CellModel, columns: &[&str]) -> Option<String> {
    let expected = counters::expected_of_a_node(cell, columns)?;
    let mut cells = vec!["*expected per node*".to_owned()];
    cells.extend(expected.iter().map(|text| escape(text)));
    Some(row(&cells))
}

fn counter_row(counters: &CounterRow) -> String {
    let mut cells = vec![escape(&counters.label)];
    let values = counters.values.iter();
    cells.extend(values.map(|value| escaped(&value.text, value.is_unmet)));
    row(&cells)
}

pub(super) fn times(run: &RunModel) -> String {
    let rows = times::table_rows(run, usize::MAX);
    if rows.is_empty() {
        return String::new();
    }
    let rows = rows.iter();
    let rows = rows.map(|cells| row(&cells.each_ref().map(|text| escape(text))));
    let head = ["", "", "cells", "median", "longest", "in"];
    let title = format!("Where the time went{}", text::local_mark(run));
    folded(&title, &table(&head, rows, &(2..5)))
}
