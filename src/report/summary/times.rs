//! The durations of phases and steps across all cells, slowest first.

use std::collections::BTreeMap;

use crate::matrix::CellId;
use crate::record::model::{PhaseModel, RunModel};
use crate::report::marks::{Mark, QUICK_MS};
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
    let rows = kinds(run).into_iter().flat_map(|(kind, rows)| {
        let rows = rows.into_iter().take(limit);
        rows.map(move |row| {
            [
                kind.to_owned(),
                row.name.to_owned(),
                row.cells.to_string(),
                row.median,
                row.slowest,
                row.slowest_in.to_string(),
            ]
        })
    });
    rows.collect()
}

/// The phases that ran and the steps that providers measured, slowest first. A kind without rows is left out.
pub(in crate::report) fn kinds(run: &RunModel) -> Vec<(&'static str, Vec<TimeRow<'_>>)> {
    let phases = run.cells.iter().flat_map(|cell| {
        let ran = |phase: &&PhaseModel| Mark::of(phase) != Mark::Skipped;
        let phases = cell.phases.iter().filter(ran);
        phases.map(|phase| (phase.name(), phase.duration_ms, &cell.summary.id))
    });
    let steps = run.cells.iter().flat_map(|cell| {
        let steps = cell.steps.iter();
        steps.map(|step| (step.name.as_str(), step.duration_ms, &cell.summary.id))
    });
    let mut kinds = vec![("phase", ranked(phases)), ("step", ranked(steps))];
    kinds.retain(|(_, rows)| !rows.is_empty());
    kinds
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
