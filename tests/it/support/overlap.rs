//! How many cells ran at the same time, according to the records of several runs.

use e2e_matrix::event::{Event, Record};

/// The highest number of cells that ran at the same time.
pub(crate) fn most_at_once(records: &[Vec<Record>]) -> usize {
    let changes = records.iter().flatten().filter_map(|record| {
        let change = match &record.event {
            Event::CellStarted { .. } => 1,
            Event::CellFinished { .. } => -1,
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
