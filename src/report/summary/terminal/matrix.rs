//! Cells × phases: the duration of passed phases, and a word for others.

use std::collections::BTreeSet;

use comfy_table::{Cell, Table};

use super::layout::{lay_out, table, table_width, toned, wrapped};
use crate::record::model::{CellModel, RunModel};
use crate::report::marks::{self, Mark, Tone};
use crate::report::paint::Paint;
use crate::report::text;

pub(super) fn section(run: &RunModel, width: usize, paint: Paint) -> String {
    if run.cells.is_empty() {
        return String::new();
    }
    let (table, sign): (_, fn(Mark) -> String) =
        if table_width(&wide(run, Paint::new(false))) <= width {
            (wide(run, paint), wide_sign)
        } else {
            (narrow(run, paint), narrow_sign)
        };
    let legend = wrapped(&legend(run, sign), width, "");
    let legend = legend
        .lines()
        .map(|line| paint.tone(Tone::Quiet, line) + "\n");
    format!("{}\n{}", table.trim_fmt(), legend.collect::<String>())
}

fn wide(run: &RunModel, paint: Paint) -> Table {
    let mut head = vec![text::cell_column(run).to_owned()];
    let stages = run.stages();
    head.extend(
        stages
            .iter()
            .map(|(phase, command)| command.unwrap_or(marks::phase_head(*phase)).to_owned()),
    );
    head.extend(["time".to_owned(), "verdict".to_owned()]);
    let mut table = table(paint, head);
    for cell in &run.cells {
        let phases = cell.phases.iter().map(|phase| {
            let mark = Mark::of(phase);
            toned(mark.tone(), mark.narrow(phase.duration_ms))
        });
        table.add_row(frame(cell, phases.collect()));
    }
    lay_out(&mut table, &(1..stages.len() + 2), 1);
    table
}

fn narrow(run: &RunModel, paint: Paint) -> Table {
    let head = [text::cell_column(run), "phases", "time", "verdict"];
    let mut table = table(paint, head.map(str::to_owned).to_vec());
    for cell in &run.cells {
        let letters = cell.phases.iter().map(|phase| Mark::of(phase).letter());
        table.add_row(frame(cell, vec![Cell::new_owned(letters.collect())]));
    }
    lay_out(&mut table, &(2..3), 1);
    table
}

/// A cell's row, with `phases` in the middle.
fn frame(cell: &CellModel, phases: Vec<Cell>) -> Vec<Cell> {
    let mut row = vec![Cell::new(&cell.summary.id)];
    row.extend(phases);
    row.push(Cell::new_owned(text::cell_duration(cell)));
    row.push(toned(marks::verdict_tone(cell), marks::verdict(cell)));
    row
}

/// The meaning of the marks in this table, and the phases in order.
fn legend(run: &RunModel, sign: fn(Mark) -> String) -> String {
    let phases = run.cells.iter().flat_map(|cell| &cell.phases);
    let seen: BTreeSet<_> = phases.map(Mark::of).collect();
    let mut meanings: Vec<_> = seen
        .into_iter()
        .map(|mark| format!("{}: {}", sign(mark), mark.meaning()))
        .collect();
    if run
        .cells
        .iter()
        .any(|cell| cell.is_red() && cell.summary.allow_failure)
    {
        meanings.push("*: allowed to fail".to_owned());
    }
    let stages = run.stages().into_iter();
    let names = stages.map(|(phase, command)| command.unwrap_or(phase.name()));
    let names = names.collect::<Vec<_>>().join(", ");
    format!("phases: {names}; {}", meanings.join(", "))
}

fn wide_sign(mark: Mark) -> String {
    match mark {
        Mark::Passed => "seconds".to_owned(),
        Mark::Simulated | Mark::Failed | Mark::Broken | Mark::Interrupted | Mark::Skipped => {
            mark.narrow(0)
        }
    }
}

fn narrow_sign(mark: Mark) -> String {
    mark.letter().to_string()
}
