//! The plan of a merge, made before any event is copied: whether the parts belong together, and which part reports each
//! cell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use super::{Part, facts};
use crate::event::{PartFacts, RunFacts, Severity, ShardFacts};
use crate::matrix::CellId;
use crate::record::RecordError;
use crate::record::model::CellModel;

/// Runs can't be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The folder contains no runs.
    #[error("no runs to merge in {}", folder.display())]
    NoRuns {
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A record doesn't contain the start of its run.
    #[error("the record in {} does not contain the start of the run", folder.display())]
    NotStarted {
        /// The run.
        folder: PathBuf,
    },
    /// A record can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The runs used different providers. A local run doesn't prove as much as a run on a real cluster.
    #[error(
        "the run in {} used the provider {}, but the run in {} used {}",
        one.display(), providers.0, other.display(), providers.1
    )]
    Providers {
        /// One run.
        one: PathBuf,
        /// The other run.
        other: PathBuf,
        /// Their providers.
        providers: (String, String),
    },
    /// Two runs contain the same cell, and neither is a rerun of the other.
    #[error("the cell {cell} is in both {} and {}", one.display(), other.display())]
    DuplicateCell {
        /// The cell.
        cell: CellId,
        /// One run.
        one: PathBuf,
        /// The other run.
        other: PathBuf,
    },
}

/// How many missing shards a message lists.
const SHARDS_LISTED: usize = 20;

/// The plan of a merge.
#[derive(Debug)]
pub struct Plan {
    /// The facts of the merged run.
    pub facts: RunFacts,
    /// Notices about the merge itself.
    pub notices: Vec<(Severity, String)>,
    /// Whether no shard is missing and the end of a part cut off no cell.
    pub is_whole: bool,
    /// The time during which at least one of the parts ran, in milliseconds.
    pub duration_ms: u64,
}

impl Plan {
    /// Sorts `parts`, chooses the part that reports each cell, and plans the merge. The merged run isn't whole if shards
    /// are missing, or if a part ended before a cell that is reported from it had a verdict.
    pub fn new(parts: &mut [Part]) -> Result<Self, MergeError> {
        Self::with_gaps(parts, missing_shards)
    }

    /// Does the same for the processes of one run. The run may be a shard, and is whole without the other shards.
    pub fn of_processes(parts: &mut [Part]) -> Result<Self, MergeError> {
        Self::with_gaps(parts, |_| Vec::new())
    }

    fn with_gaps(
        parts: &mut [Part],
        gaps: fn(&[PartFacts]) -> Vec<String>,
    ) -> Result<Self, MergeError> {
        parts.sort_by(|one, other| one.key().cmp(&other.key()));
        require_one_provider(parts)?;
        let mut notices = assign_cells(parts)?;
        let origins = combine_processes(parts.iter().flat_map(Part::origins));
        let mut gaps = gaps(&origins);
        gaps.extend(cut_off_runs(parts));
        let is_whole = gaps.is_empty();
        notices.extend(gaps.into_iter().map(|text| (Severity::Warning, text)));
        Ok(Self {
            facts: facts::merged(parts, origins),
            notices,
            is_whole,
            duration_ms: facts::duration_ms(parts),
        })
    }
}

/// Combines the processes of one run on one machine into one part, with their times added.
fn combine_processes(origins: impl Iterator<Item = PartFacts>) -> Vec<PartFacts> {
    let mut runs: Vec<PartFacts> = Vec::new();
    for origin in origins {
        let is_same = |run: &&mut PartFacts| {
            (&run.run, &run.host, &run.shard) == (&origin.run, &origin.host, &origin.shard)
        };
        match runs.iter_mut().find(is_same) {
            Some(run) => {
                run.cells.extend(origin.cells);
                run.duration_ms = run.duration_ms.saturating_add(origin.duration_ms);
            }
            None => runs.push(origin),
        }
    }
    runs
}

fn require_one_provider(parts: &[Part]) -> Result<(), MergeError> {
    let differ = |pair: &&[Part]| pair[0].facts.provider != pair[1].facts.provider;
    let Some([one, other]) = parts.windows(2).find(differ) else {
        return Ok(());
    };
    Err(MergeError::Providers {
        one: one.folder.clone(),
        other: other.folder.clone(),
        providers: (one.facts.provider.clone(), other.facts.provider.clone()),
    })
}

/// Chooses the part that reports each cell: the part that contains the cell, or its last rerun. A rerun that has a
/// verdict on a cell replaces all earlier repetitions of the cell. Returns notices about reruns that replace results.
fn assign_cells(parts: &mut [Part]) -> Result<Vec<(Severity, String)>, MergeError> {
    // The results of each cell of the matrix, each with the part that reports it.
    let mut results: HashMap<&str, Vec<(usize, &CellModel)>> = HashMap::new();
    let mut replaced: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (index, part) in parts.iter().enumerate() {
        let is_rerun = is_rerun(part, parts);
        for (cell, new) in part.run.by_id_in_matrix() {
            let before = results.entry(cell).or_default();
            if is_rerun {
                let had_verdict = before.iter().any(|(_, old)| old.verdict.is_settled());
                if had_verdict && !new.iter().any(|new| new.verdict.is_settled()) {
                    // A rerun that skipped the cell says nothing about it.
                    continue;
                }
                for (of, _) in before.drain(..) {
                    let names = (part.facts.run.as_str(), parts[of].facts.run.as_str());
                    replaced.entry(names).or_default().insert(cell);
                }
            }
            let has_same_id =
                |old: &CellModel| new.iter().any(|new| new.summary.id == old.summary.id);
            if let Some((one, cell)) = before.iter().find(|(_, old)| has_same_id(old)) {
                return Err(MergeError::DuplicateCell {
                    cell: cell.summary.id.clone(),
                    one: parts[*one].folder.clone(),
                    other: part.folder.clone(),
                });
            }
            before.extend(new.into_iter().map(|cell| (index, cell)));
        }
    }
    let notices = replaced
        .into_iter()
        .map(|((rerun, before), cells)| notice_of_rerun(rerun, before, cells.len()));
    let notices = notices.collect();
    let results = results.into_values().flatten();
    let results: Vec<_> = results
        .map(|(index, cell)| (index, cell.summary.id.clone()))
        .collect();
    for (index, cell) in results {
        parts[index].reported.insert(cell);
    }
    Ok(notices)
}

/// The notice that `rerun` replaces the results of `cells` cells of the run `before`.
fn notice_of_rerun(rerun: &str, before: &str, cells: usize) -> (Severity, String) {
    let cells = match cells {
        1 => "1 cell".to_owned(),
        count => format!("{count} cells"),
    };
    let text = format!("the rerun {rerun} replaces the results of {cells} of {before}");
    (Severity::Info, text)
}

/// Whether `part` is a rerun of a run among `parts`.
fn is_rerun(part: &Part, parts: &[Part]) -> bool {
    let again = part.facts.rerun_of.as_deref();
    again.is_some_and(|run| parts.iter().flat_map(Part::ids).any(|id| id == run))
}

/// Notices about missing shards of a selection.
fn missing_shards(origins: &[PartFacts]) -> Vec<String> {
    let shards = origins.iter().filter_map(|part| part.shard.as_ref());
    let shards: Vec<&ShardFacts> = shards.collect();
    let Some(first) = shards.first() else {
        return Vec::new();
    };
    let mut gaps = Vec::new();
    let differs =
        |shard: &&ShardFacts| (shard.count, &shard.digest) != (first.count, &first.digest);
    if shards.iter().any(differs) {
        gaps.push(
            "the shards belong to different selections: the matrix, filters, timings or number of shards differ, so cells may be missing"
                .to_owned(),
        );
    }
    let present: BTreeSet<u32> = shards.iter().map(|shard| shard.index).collect();
    let count = first.count;
    let filled = u32::try_from(first.cells).unwrap_or(u32::MAX).min(count);
    let missing = (1..=filled).filter(|index| !present.contains(index));
    // The numbers come from records and may be arbitrarily large.
    let named: Vec<String> = missing
        .take(SHARDS_LISTED)
        .map(|index| format!("{index}/{count}"))
        .collect();
    if !named.is_empty() {
        let all = filled as usize - present.range(1..=filled).count();
        let more = match all - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        gaps.push(format!("shards are missing: {}{more}", named.join(", ")));
    }
    gaps
}

/// Notices about runs that ended before all cells that are reported from them had a verdict, for example because they
/// were killed, or because `--fail-fast` took effect.
fn cut_off_runs(parts: &[Part]) -> BTreeSet<String> {
    let cut_off = parts.iter().filter(|part| part.is_cut_off());
    let notices = cut_off.map(|part| {
        let (run, host) = (&part.facts.run, &part.facts.host.name);
        format!("the run {run} on {host} ended before all of its cells had a verdict")
    });
    notices.collect()
}
