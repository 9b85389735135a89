//! Clusters that several cells use, one after another: which cells can share a cluster, which clusters wait for their
//! next cell, and how much time this saves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::json;

use super::fingerprint::Fingerprint;
use super::work::Work;
use crate::matrix::{Cell, CellId};

/// The key of the cells that can share a cluster. Everything that their cluster is created from is the same, including
/// the agent's image.
pub(super) fn group(cell: &Cell) -> String {
    let program = cell.variant.program.as_ref();
    let agent = program.and_then(|program| program.image.as_deref());
    format!("{}/{}", topology(cell), agent.unwrap_or("any"))
}

/// A clean cluster that waits for its next cell.
pub(super) struct Parked {
    pub(super) work: Arc<Work>,
    pub(super) fingerprint: Fingerprint,
    /// The cell that used it last.
    pub(super) after: CellId,
}

/// The shared clusters of a run.
#[derive(Default)]
pub(super) struct Pool {
    /// The cells that haven't started yet, each with its [`group`] and its [`topology`].
    to_come: Mutex<BTreeMap<CellId, (String, String)>>,
    /// The clusters that wait for a cell, by [`group`].
    parked: Mutex<BTreeMap<String, Parked>>,
    tally: Mutex<Tally>,
}

/// The key of the cells whose clusters can be clones of the same template.
fn topology(cell: &Cell) -> String {
    let kind = json!(cell.variant.kind);
    let image = cell.node_image.as_deref().unwrap_or("any");
    format!("{}/{}/{image}/{kind}", cell.kubernetes, cell.nodes)
}

/// How many clusters were created and reused, and how much time that saved.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) created: usize,
    pub(super) reused: usize,
    /// The creation times of reused clusters, counted once per reuse.
    pub(super) saved: Duration,
    /// How long wiping took in total.
    pub(super) wiping: Duration,
    /// How many clusters were clones of templates.
    pub(super) cloned: usize,
    /// How much sooner clones were up than the clusters that the templates were made from, in total.
    pub(super) saved_by_clones: Duration,
    /// Why prepared or shared clusters were not used.
    pub(super) rejections: Vec<String>,
}

impl Pool {
    /// The tally so far, which callers update.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock()
    }

    /// Announces cells that will run.
    pub(super) fn expect(&self, cells: &[Cell]) {
        let keys = |cell: &Cell| (cell.id.clone(), (group(cell), topology(cell)));
        self.to_come.lock().extend(cells.iter().map(keys));
    }

    /// Records that `cell` starts. Returns the cluster that waits for it.
    pub(super) fn take(&self, cell: &Cell) -> Option<Parked> {
        self.to_come.lock().remove(&cell.id);
        self.parked.lock().remove(&group(cell))
    }

    /// Whether another cell will use the cluster of `cell`.
    pub(super) fn has_next(&self, cell: &Cell) -> bool {
        let own = group(cell);
        self.to_come.lock().values().any(|(group, _)| *group == own)
    }

    /// How many cells that haven't started yet can use the same template as `cell`.
    pub(super) fn to_come(&self, cell: &Cell) -> usize {
        let own = topology(cell);
        let to_come = self.to_come.lock();
        to_come.values().filter(|(_, it)| *it == own).count()
    }

    /// Keeps a clean cluster for the next cell.
    pub(super) fn park(&self, cell: &Cell, parked: Parked) {
        self.parked.lock().insert(group(cell), parked);
    }

    /// Takes all clusters that still wait for a cell.
    pub(super) fn drain(&self) -> Vec<Parked> {
        let parked = std::mem::take(&mut *self.parked.lock());
        parked.into_values().collect()
    }

    /// Records why a prepared or shared cluster was not used.
    pub(super) fn rejected(&self, why: String) {
        self.tally().rejections.push(why);
    }

    /// The summary for the report.
    pub(super) fn summary(&self) -> Vec<String> {
        let tally = self.tally();
        let mut texts = tally.rejections.clone();
        if tally.cloned > 0 {
            let (cloned, created) = (tally.cloned, tally.created);
            let seconds = tally.saved_by_clones.as_secs();
            texts.push(format!(
                "prepared clusters saved about {seconds} s ({cloned} of {created} clusters were clones)"
            ));
        }
        if tally.reused > 0 {
            let created = tally.created;
            let plural = if created == 1 { "" } else { "s" };
            let without = created + tally.reused;
            let clusters = format!("{created} cluster{plural} instead of {without}");
            texts.push(match tally.saved.saturating_sub(tally.wiping).as_secs() {
                0 => format!("reuse saved no time: {clusters}"),
                seconds => format!("reuse saved about {seconds} s: {clusters}"),
            });
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;

    fn cells() -> Vec<Cell> {
        let text = "[matrix]\nkubernetes = [\"1.34\"]\nconfig = [\"a\", \"b\", \"c\"]\n[config.a]\n[config.b]\n[config.c]\nkind = { featureGates = { X = true } }\n";
        Matrix::parse("matrix.toml", text).unwrap().cells
    }

    #[test]
    fn cells_share_a_cluster_unless_their_kind_configuration_differs() {
        let cells = cells();
        assert_eq!(group(&cells[0]), group(&cells[1]));
        assert_ne!(group(&cells[0]), group(&cells[2]));
    }

    #[test]
    fn cells_share_a_cluster_with_different_manifests_but_not_with_different_agent_images() {
        let text = "[matrix]\nkubernetes = [\"1.34\"]\nagent = [\"1\", \"2\", \"3\"]\n[agent.1]\nimage = \"plexd:1\"\n[agent.2]\nimage = \"plexd:2\"\n[agent.3]\nimage = \"plexd:1\"\nmanifests = \"m\"\n";
        let cells = Matrix::parse("matrix.toml", text).unwrap().cells;
        let groups: Vec<_> = cells.iter().map(group).collect();
        assert_eq!(groups[0], groups[2]);
        assert_ne!(groups[0], groups[1]);
    }

    #[test]
    fn the_last_cell_of_a_group_has_no_successor() {
        let (pool, cells) = (Pool::default(), cells());
        pool.expect(&cells);
        assert!(pool.take(&cells[0]).is_none());
        assert!(pool.has_next(&cells[0]));
        assert!(pool.take(&cells[1]).is_none());
        assert!(!pool.has_next(&cells[1]));
    }

    #[test]
    fn cells_with_another_agent_can_use_the_same_template() {
        let (pool, cells) = (Pool::default(), cells());
        pool.expect(&cells);
        assert_eq!(pool.to_come(&cells[0]), 2);
        assert_eq!(pool.to_come(&cells[2]), 1);
        assert!(pool.take(&cells[0]).is_none());
        assert_eq!(pool.to_come(&cells[1]), 1);
    }

    #[test]
    fn the_time_saved_is_measured() {
        let pool = Pool::default();
        assert_eq!(pool.summary(), [] as [&str; 0]);
        *pool.tally() = Tally {
            created: 1,
            reused: 2,
            saved: Duration::from_secs(40),
            wiping: Duration::from_secs(14),
            ..Tally::default()
        };
        assert_eq!(
            pool.summary(),
            ["reuse saved about 26 s: 1 cluster instead of 3"]
        );
    }
}
