//! The tables behind the matrix: counters, and where the time went.

use comfy_table::Cell;

use super::layout::{lay_out, table, toned};
use crate::matrix::Counter;
use crate::report::marks::{self, Tone};
use crate::report::model::{CellModel, RunModel};
use crate::report::paint::Paint;
use crate::report::summary::counters::{self, CounterRow};
use crate::report::summary::times::{self, TimeRow};
use crate::report::text;

/// Nodes of one cell whose counters do not hold: as many as this get a line.
const NODES_SHOWN: usize = 5;
/// Kinds of work that get a line, of phases and of steps each.
const TIMES_SHOWN: usize = 4;

/// A cell's sums; of several nodes also the least that any of them came to, and every node that lacks something.
pub(super) fn counters(run: &RunModel, paint: Paint) -> String {
    let mut head = vec![format!("counters{}", text::local_mark(run))];
    head.extend(Counter::all().map(|counter| marks::counter_head(counter).to_owned()));
    let mut table = table(paint, head);
    for cell in run.cells.iter().filter(|cell| cell.counters.is_some()) {
        table.add_rows(cell_rows(cell));
    }
    if table.is_empty() {
        return String::new();
    }
    lay_out(&mut table, &(1..Counter::all().count() + 1), 1);
    table.trim_fmt() + "\n"
}

fn cell_rows(cell: &CellModel) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    if let Some(mut total) = counters::total(cell) {
        total.label = cell.summary.id.to_string();
        rows.push(counter_cells(&total));
    }
    if let Some(mut least) = counters::least(cell) {
        least.label = format!("  {}", least.label);
        rows.push(counter_cells(&least));
    }
    let lacking: Vec<_> = counters::nodes(cell)
        .into_iter()
        .filter(|row| !row.holds())
        .collect();
    for row in lacking.iter().take(NODES_SHOWN) {
        let label = format!("  {}", row.label);
        rows.push(counter_cells(&CounterRow {
            label,
            ..row.clone()
        }));
    }
    if lacking.len() > NODES_SHOWN {
        let more = format!("  and {} more nodes", lacking.len() - NODES_SHOWN);
        rows.push(vec![Cell::new_owned(more)]);
    }
    rows
}

fn counter_cells(row: &CounterRow) -> Vec<Cell> {
    let mut cells = vec![Cell::new(&row.label)];
    cells.extend(row.values.iter().map(|value| match value.unmet {
        Some(_) => toned(Tone::Bad, value.text()),
        None => Cell::new_owned(value.text()),
    }));
    cells
}

/// The slowest phases and steps over all cells.
pub(super) fn times(run: &RunModel, paint: Paint) -> String {
    let rows: Vec<_> = time_rows("phase", &times::phases(run))
        .chain(time_rows("step", &times::steps(run)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = [
        &*format!("slowest{}", text::local_mark(run)),
        "",
        "cells",
        "median",
        "longest",
        "in",
    ];
    let mut table = table(paint, head.map(str::to_owned).to_vec());
    table.add_rows(rows);
    lay_out(&mut table, &(2..5), 1);
    table.trim_fmt() + "\n"
}

fn time_rows(kind: &str, rows: &[TimeRow<'_>]) -> impl Iterator<Item = Vec<String>> {
    rows.iter().take(TIMES_SHOWN).map(move |row| {
        vec![
            kind.to_owned(),
            row.name.to_owned(),
            row.cells.to_string(),
            text::duration(row.median_ms),
            text::duration(row.slowest_ms),
            row.slowest_in.to_string(),
        ]
    })
}
