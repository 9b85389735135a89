//! Cells that run one after another in one kept cluster, each in a separate run.

use std::fs;
use std::time::Duration;

use super::by_hand::Failed;
use super::inherited::{ENGINE, inherited};
use super::manifests::Manifests;
use super::{Scratch, record};

/// A timeout far longer than a cell should take.
const PATIENCE: Duration = Duration::from_secs(400);

/// Runs of one matrix file, whose manifests change from run to run. The cluster is deleted at the end.
pub(crate) struct InTurn {
    scratch: Scratch,
    tables: String,
    runs: usize,
}

impl InTurn {
    /// Runs on a cluster with `nodes` nodes, with `tables` added to the matrix file.
    pub(crate) fn new(nodes: usize, tables: &str) -> Self {
        let scratch = Scratch::new();
        let tables = format!(
            "[matrix]\nkubernetes = [\"1.34\"]\nnodes = [{nodes}]\n[run]\nports = \"any\"\n{tables}"
        );
        let runs = 0;
        Self {
            scratch,
            tables,
            runs,
        }
    }

    /// A new copy of the shipped manifests for the next run.
    pub(crate) fn manifests(&self) -> Manifests {
        Manifests::shipped(self.scratch.path())
    }

    /// Runs the cell with `manifests`, in the cluster of the previous run if it can be reused. Returns how it failed, or
    /// its output if it did not fail.
    pub(crate) fn failure(&mut self, manifests: &Manifests) -> Result<Failed, String> {
        let text = format!("{}{}", self.tables, manifests.settings());
        fs::write(self.scratch.path().join("matrix.toml"), text).unwrap();
        let arguments = ["--provider", "kind", "--reuse", "--keep", "always"];
        let mut command = self.scratch.command(&arguments);
        let output = command.envs(inherited(&ENGINE)).timeout(PATIENCE).output();
        let output = output.unwrap();
        let streams = [output.stderr, output.stdout].concat();
        let printed = String::from_utf8_lossy(&streams);
        let run = record::read(&self.scratch);
        let is_reused = record::origin(&run.cells[0]).starts_with("reused after ");
        // A cluster isn't reused if its last cell has mounted what belongs to the node.
        let is_deleted = printed.contains("belongs to the node and may have been changed");
        assert_eq!(is_reused, self.runs > 0 && !is_deleted, "{printed}");
        self.runs += 1;
        Failed::of(&run, output.status.code(), &printed)
    }

    fn delete(&self) -> std::process::Output {
        let mut command = self.scratch.command(&["gc", "--kept"]);
        command.envs(inherited(&ENGINE)).output().unwrap()
    }

    /// Deletes the cluster, and asserts that nothing is left.
    pub(crate) fn end(self) {
        let deleted = self.delete();
        assert!(deleted.status.success(), "{deleted:?}");
        record::assert_nothing_else_is_left(&self.scratch, &record::read(&self.scratch));
    }
}

impl Drop for InTurn {
    fn drop(&mut self) {
        // Otherwise, `end` has deleted the cluster.
        if std::thread::panicking() {
            self.delete();
        }
    }
}
