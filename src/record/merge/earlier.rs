//! Earlier merges whose runs are merged again.

use std::collections::{HashMap, HashSet};

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
        let again = Some(&merge.facts.run);
        for rerun in runs
            .iter_mut()
            .filter(|run| run.facts.rerun_of.as_ref() == again)
        {
            let mut origins = merge.facts.parts.iter();
            rerun.facts.rerun_of = origins.next().map(|origin| origin.run.clone());
        }
    }
    runs.extend(others);
    runs
}

/// Whether each cell of `merge` comes from one of `runs`, which still contains it.
fn consists_of(merge: &Part, runs: &[Part]) -> bool {
    let mut known: HashMap<&str, HashSet<&CellId>> = HashMap::new();
    for run in runs {
        let cells = run.run.cells.iter().map(|cell| &cell.summary.id);
        known
            .entry(run.facts.run.as_str())
            .or_default()
            .extend(cells);
    }
    merge.facts.parts.iter().all(|origin| {
        let cells = known.get(origin.run.as_str());
        cells.is_some_and(|cells| origin.cells.iter().all(|cell| cells.contains(cell)))
    })
}
