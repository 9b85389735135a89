//! The durations of phases and steps across all cells, slowest first.

use std::collections::BTreeMap;

use crate::matrix::CellId;
use crate::record::model::{PhaseOutcome, RunModel};
use crate::report::marks::QUICK_MS;
use crate::report::text;

/// The durations of a phase or step in all cells.
pub(in crate::report) struct TimeRow<'a> {
    /// The name of the phase or step.
    pub(in crate::report) name: &'a str,
    /// The number of cells in which the phase or step ran.
    pub(in crate::report) cells: usize,
    /// The median duration.
    pub(in crate::report) median: String,
    /// The longest duration.
    pub(in crate::report) slowest: String,
    slowest_ms: u64,
    /// The cell with the longest duration.
    pub(in crate::report) slowest_in: &'a CellId,
}

/// The rows of a table of all phases and steps, at most `limit` of each.
pub(super) fn table_rows(run: &RunModel, limit: usize) -> Vec<[String; 6]> {
    let phases = phases(run).into_iter().take(limit);
    let steps = steps(run).into_iter().take(limit);
    let phases = phases.map(|row| ("phase", row));
    let rows = phases.chain(steps.map(|row| ("step", row)));
    rows.map(|(kind, row)| {
        [
            kind.to_owned(),
            row.name.to_owned(),
            row.cells.to_string(),
            row.median,
            row.slowest,
            row.slowest_in.to_string(),
        ]
    })
    .collect()
}

/// The phases that ran, slowest first.
pub(in crate::report) fn phases(run: &RunModel) -> Vec<TimeRow<'_>> {
    let taken = run.cells.iter().flat_map(|cell| {
        let phases = cell.phases.iter().filter(|phase| was_run(&phase.outcome));
        phases.map(|phase| (phase.name(), phase.duration_ms, &cell.summary.id))
    });
    ranked(taken)
}

/// The steps that providers measured, slowest first.
pub(in crate::report) fn steps(run: &RunModel) -> Vec<TimeRow<'_>> {
    let taken = run.cells.iter().flat_map(|cell| {
        let steps = cell.steps.iter();
        steps.map(|step| (step.name.as_str(), step.duration_ms, &cell.summary.id))
    });
    ranked(taken)
}

const fn was_run(outcome: &PhaseOutcome) -> bool {
    match outcome {
        PhaseOutcome::Passed | PhaseOutcome::Failed(_) | PhaseOutcome::Interrupted(_) => true,
        PhaseOutcome::Skipped(_) => false,
    }
}

fn ranked<'a>(taken: impl Iterator<Item = (&'a str, u64, &'a CellId)>) -> Vec<TimeRow<'a>> {
    let mut by_name: BTreeMap<&str, Vec<(u64, &CellId)>> = BTreeMap::new();
    for (name, duration_ms, cell) in taken {
        by_name.entry(name).or_default().push((duration_ms, cell));
    }
    let row = |(name, mut times): (&'a str, Vec<(u64, &'a CellId)>)| {
        times.sort_unstable();
        let (slowest_ms, slowest_in) = times[times.len() - 1];
        TimeRow {
            name,
            cells: times.len(),
            median: text::duration(times[times.len() / 2].0),
            slowest: text::duration(slowest_ms),
            slowest_ms,
            slowest_in,
        }
    };
    let mut rows: Vec<_> = by_name.into_iter().map(row).collect();
    rows.retain(|row| row.slowest_ms >= QUICK_MS);
    rows.sort_by_key(|row| std::cmp::Reverse(row.slowest_ms));
    rows
}
