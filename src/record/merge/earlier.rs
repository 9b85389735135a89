//! Earlier merges whose runs are merged again.

use std::collections::HashSet;

use super::Part;
use crate::matrix::CellId;

/// Removes each earlier merge whose runs are themselves in `parts`, so that a folder can be merged again after a merge
/// was written to it. A rerun of the removed merge becomes a rerun of its first run.
pub fn without_earlier_merges(parts: Vec<Part>) -> Vec<Part> {
    let (merges, mut runs): (Vec<_>, Vec<_>) = parts.into_iter().partition(Part::is_merge);
    let (earlier, others): (Vec<_>, Vec<_>) = merges
        .into_iter()
        .partition(|merge| consists_of(merge, &runs));
    for merge in &earlier {
        let first = merge.facts.parts.first().map(|origin| &origin.run);
        for run in &mut runs {
            if run.facts.rerun_of.as_ref() == Some(&merge.facts.run) {
                run.facts.rerun_of = first.cloned();
            }
        }
    }
    runs.extend(others);
    runs
}

/// Whether each cell of `merge` comes from one of `runs`, which still contains it.
fn consists_of(merge: &Part, runs: &[Part]) -> bool {
    merge.facts.parts.iter().all(|origin| {
        let same = runs.iter().filter(|run| run.facts.run == origin.run);
        let same: Vec<&Part> = same.collect();
        let cells = same.iter().flat_map(|run| &run.run.cells);
        let known: HashSet<&CellId> = cells.map(|cell| &cell.summary.id).collect();
        !same.is_empty() && origin.cells.iter().all(|cell| known.contains(cell))
    })
}
