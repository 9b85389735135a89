//! Cells of one run that share a cluster one after another, each with its own manifests.

use std::fs;
use std::time::Duration;

use e2e_matrix::event::{CellVerdict, Failure};
use e2e_matrix::matrix::Phase;

use super::inherited::{ENGINE, inherited};
use super::manifests::Manifests;
use super::{QUICK_AGENT, Scratch, record};

/// A timeout far longer than the cells should take together.
const PATIENCE: Duration = Duration::from_secs(1200);

/// A matrix with one cell per case. Each case changes its own copy of the shipped manifests.
pub(crate) struct Cases {
    scratch: Scratch,
    nodes: usize,
    config: &'static str,
    names: Vec<&'static str>,
}

impl Cases {
    /// Cases for a cluster with `nodes` nodes. Each cell's config table also has the keys in `config`.
    pub(crate) fn new(nodes: usize, config: &'static str) -> Self {
        Self {
            scratch: Scratch::new(),
            nodes,
            config,
            names: Vec::new(),
        }
    }

    /// Adds a case. Returns its manifests. The mock's manifests are those of the first case.
    pub(crate) fn add(&mut self, name: &'static str) -> Manifests {
        self.names.push(name);
        Manifests::shipped(&self.scratch.path().join(name))
    }

    /// Runs all cells in one cluster, with `tables` added to the matrix file. Each cell must fail with a failure for
    /// which `expects` returns `true`, and must have the verdict of the failure's class. `expects` gets the number of
    /// the case, the failed phase and the failure.
    pub(crate) fn run(&self, tables: &str, expects: impl Fn(usize, Phase, &Failure) -> bool) {
        let config = |name: &&str| {
            let keys = self.config;
            format!(
                "[config.{name}]\nagent = {QUICK_AGENT}\nmanifests = \"{name}/deploy/kubernetes\"\n{keys}"
            )
        };
        let (names, configs) = (&self.names, self.names.iter().map(config));
        let (nodes, configs) = (self.nodes, configs.collect::<String>());
        let text = format!(
            "[matrix]\nkubernetes = [\"1.34\"]\nnodes = [{nodes}]\nconfig = {names:?}\n[run]\nports = \"any\"\njobs = 1\n\
             [deploy]\nmock = \"{}/deploy/mock-api\"\n{configs}{tables}",
            names[0],
        );
        fs::write(self.scratch.path().join("matrix.toml"), text).unwrap();
        let arguments = ["--provider", "kind", "--reuse"];
        let mut command = self.scratch.command(&arguments);
        let output = command.envs(inherited(&ENGINE)).timeout(PATIENCE).output();
        let output = output.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let run = record::read(&self.scratch);
        let wrong: Vec<String> = names
            .iter()
            .enumerate()
            .filter_map(|(case, name)| {
                let cell = record::cell(&run, &format!("k8s-1.34-n{nodes}-{name}"));
                let failed = cell.failed_phase();
                let failed = failed.and_then(|phase| Some((phase.phase, phase.failure()?)));
                let fits = failed.is_some_and(|(phase, failure)| {
                    let verdict = CellVerdict::of_class(failure.class());
                    expects(case, phase, failure) && cell.verdict == verdict
                });
                (!fits).then(|| format!("{name}: {failed:?}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}\n{stderr}", wrong.join("\n"));
        // Some of the failures are product failures.
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        // A cluster isn't reused if its last cell has mounted what belongs to the node.
        let unusable = stderr.matches("belongs to the node and may have been changed");
        let reused = run.cells.iter().map(record::origin);
        let reused = reused.filter(|origin| origin.starts_with("reused after "));
        assert_eq!(
            reused.count() + unusable.count() + 1,
            names.len(),
            "{stderr}"
        );
        record::assert_nothing_else_is_left(&self.scratch, &run);
    }
}
