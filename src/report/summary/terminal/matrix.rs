//! Cells × phases: the duration of each passed phase, and a word for any other.

use std::collections::BTreeSet;
use std::iter;

use comfy_table::{Cell, Table};

use super::layout::{lay_out, table, table_width, toned, wrapped};
use crate::record::model::{CellModel, RunModel};
use crate::report::marks::{self, Mark, Tone};
use crate::report::paint::Paint;
use crate::report::stages::{Stage, Stages};
use crate::report::text;

pub(super) fn section(run: &RunModel, width: usize, paint: Paint) -> String {
    if run.cells.is_empty() {
        return String::new();
    }
    let stages = Stages::of(run);
    let (table, legend) = if table_width(&wide(run, &stages, Paint::new(false))) <= width {
        (wide(run, &stages, paint), legend(run, &stages, wide_entry))
    } else {
        let names: Vec<_> = stages.shown.iter().map(Stage::name).collect();
        let legend = legend(run, &stages, narrow_entry);
        let legend = format!("phases: {}; {legend}", names.join(", "));
        (narrow(run, &stages, paint), legend)
    };
    let legend = [Some(legend), stages.omitted()].into_iter().flatten();
    let legend = wrapped(&legend.collect::<Vec<_>>().join("; "), width, "");
    let legend = legend.lines().map(|line| paint.tone(Tone::Quiet, line));
    let lines: Vec<_> = iter::once(table.trim_fmt()).chain(legend).collect();
    lines.join("\n")
}

fn wide(run: &RunModel, stages: &Stages<'_>, paint: Paint) -> Table {
    let mut head = vec![text::cell_column(run)];
    head.extend(stages.shown.iter().map(|stage| stage.head().to_owned()));
    head.extend(["time".to_owned(), "verdict".to_owned()]);
    let mut table = table(paint, head);
    for cell in &run.cells {
        let phases = stages.results(cell).map(|phase| {
            let mark = Mark::of(phase);
            toned(mark.tone(), mark.narrow(phase.duration_ms))
        });
        table.add_row(frame(cell, phases.collect()));
    }
    lay_out(&mut table, &(1..stages.shown.len() + 2));
    table
}

fn narrow(run: &RunModel, stages: &Stages<'_>, paint: Paint) -> Table {
    let column = text::cell_column(run);
    let mut table = table(paint, [&*column, "phases", "time", "verdict"]);
    for cell in &run.cells {
        let letters = stages.results(cell).map(|phase| Mark::of(phase).letter());
        table.add_row(frame(cell, vec![Cell::new_owned(letters.collect())]));
    }
    lay_out(&mut table, &(2..3));
    table
}

/// A cell's row, with `phases` in the middle.
fn frame(cell: &CellModel, phases: Vec<Cell>) -> Vec<Cell> {
    let mut row = vec![Cell::new(&cell.summary.id)];
    row.extend(phases);
    row.push(Cell::new_owned(text::cell_duration(cell)));
    let (verdict, tone) = marks::verdict(cell);
    row.push(toned(tone, verdict));
    row
}

/// The meaning of the marks in this table.
fn legend(run: &RunModel, stages: &Stages<'_>, entry: fn(Mark) -> String) -> String {
    let phases = run.cells.iter().flat_map(|cell| stages.results(cell));
    let seen: BTreeSet<_> = phases.map(Mark::of).collect();
    let mut entries: Vec<_> = seen.into_iter().map(entry).collect();
    if marks::has_star(run) {
        entries.push("*: allowed to fail".to_owned());
    }
    entries.join(", ")
}

/// A passed phase shows its duration.
fn wide_entry(mark: Mark) -> String {
    match mark {
        Mark::Passed => "times in seconds".to_owned(),
        other => format!("{}: {}", other.narrow(0), other.meaning()),
    }
}

fn narrow_entry(mark: Mark) -> String {
    format!("{}: {}", mark.letter(), mark.meaning())
}
