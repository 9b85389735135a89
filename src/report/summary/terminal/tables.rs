//! The tables after the cells: counters and durations.

use comfy_table::{Cell, Table};

use super::layout::{lay_out, table, table_width, toned};
use crate::matrix::Counter;
use crate::record::model::{CellModel, RunModel};
use crate::report::marks::{self, Tone};
use crate::report::paint::Paint;
use crate::report::summary::counters::{self, CounterRow};
use crate::report::summary::times;
use crate::report::text;

/// The maximum number of nodes with failed checks per cell that get a row.
const NODES_SHOWN: usize = 5;
/// The maximum number of phases, and of steps, that get a row.
const TIMES_SHOWN: usize = 4;

/// Each cell has a row with its totals. A cell with several nodes also has a row with the smallest values, and rows for
/// nodes with failed checks. On a narrow terminal, all counters except the platform's are in a second table.
pub(super) fn counters(run: &RunModel, width: usize, paint: Paint) -> String {
    if run.cells.iter().all(|cell| cell.counters.is_none()) {
        return String::new();
    }
    let all = counters::columns(run);
    if table_width(&counter_table(run, &all, Paint::new(false))) <= width {
        return counter_table(run, &all, paint).trim_fmt();
    }
    let (platform, others) = all.split_at(Counter::PLATFORM.len());
    let tables = [platform, others].map(|columns| counter_table(run, columns, paint).trim_fmt());
    tables.join("\n\n")
}

fn counter_table(run: &RunModel, columns: &[&str], paint: Paint) -> Table {
    let mut head = vec![format!("counters{}", text::local_mark(run))];
    head.extend(columns.iter().map(|name| marks::counter_head(name).into()));
    let mut table = table(paint, head);
    for cell in &run.cells {
        table.add_rows(cell_rows(cell, columns));
    }
    lay_out(&mut table, &(1..columns.len() + 1));
    table
}

fn cell_rows(cell: &CellModel, columns: &[&str]) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    if let Some(total) = counters::total(cell, columns) {
        rows.push(counter_cells(cell.summary.id.as_str(), &total));
    }
    let indented = |row: &CounterRow| counter_cells(&format!("  {}", row.label), row);
    rows.extend(counters::minimum(cell, columns).as_ref().map(indented));
    let mut unmet = counters::nodes(cell, columns);
    unmet.retain(|row| !row.holds());
    rows.extend(unmet.iter().take(NODES_SHOWN).map(indented));
    if unmet.len() > NODES_SHOWN {
        let more = text::counted(unmet.len() - NODES_SHOWN, "more node");
        rows.push(vec![Cell::new_owned(format!("  and {more}"))]);
    }
    rows
}

fn counter_cells(label: &str, row: &CounterRow) -> Vec<Cell> {
    let values = row.values.iter().map(|value| {
        let text = value.text.clone();
        if value.is_unmet {
            toned(Tone::Bad, text)
        } else {
            Cell::new_owned(text)
        }
    });
    std::iter::once(Cell::new(label)).chain(values).collect()
}

/// The slowest phases and steps across all cells.
pub(super) fn times(run: &RunModel, paint: Paint) -> String {
    let rows = times::table_rows(run, TIMES_SHOWN);
    if rows.is_empty() {
        return String::new();
    }
    let title = format!("slowest{}", text::local_mark(run));
    let head = [&*title, "", "cells", "median", "longest", "in"];
    let mut table = table(paint, head);
    table.add_rows(rows);
    lay_out(&mut table, &(2..5));
    table.trim_fmt()
}
