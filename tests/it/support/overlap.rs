//! How much ran at the same time, according to the records of several runs.

use e2e_matrix::event::{Event, Record};
use e2e_matrix::matrix::CellId;

/// The highest total weight of cells that ran at the same time; `weight` returns the weight of a cell.
pub(crate) fn most_at_once(records: &[Vec<Record>], weight: impl Fn(&CellId) -> i32) -> usize {
    let changes = records.iter().flatten().filter_map(|record| {
        let change = match &record.event {
            Event::CellStarted { cell, .. } => weight(cell),
            Event::CellFinished { cell, .. } => -weight(cell),
            _ => return None,
        };
        Some((record.at, change))
    });
    let mut changes: Vec<_> = changes.collect();
    changes.sort_unstable();
    let sums = changes.iter().scan(0, |running, (_, change)| {
        *running += change;
        Some(*running)
    });
    usize::try_from(sums.max().unwrap()).unwrap()
}
