//! The local provider: real processes in real sandboxes. Shell scripts act as the agent and the mock, so that each test
//! decides what they do.

mod description;
mod hostile;
mod lifecycle;
mod snapshot;
mod unisolated;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Map;
use tempfile::TempDir;

use e2e_matrix::cluster::local::LocalProvider;
use e2e_matrix::cluster::{
    CellPlan, Cluster, ClusterName, NodeName, Programs, Provider, RunSurroundings,
};
use e2e_matrix::deadline::{Deadline, RunClock};
use e2e_matrix::event::Failure;
use e2e_matrix::machine::{Ledger, Owner, StateFolder, outstanding, ports};
use e2e_matrix::manifest::{Folder, Inputs, Rendered, Sources, render};
use e2e_matrix::matrix::{Cell, Keep, Matrix, PhaseSettings, PortRange};
use e2e_matrix::secret::{Mask, Secret};

use crate::support::cell;

const RUNNER: &str = env!("CARGO_BIN_EXE_e2e-matrix");
const TOKEN: &str = "a-token-of-the-tests";
const DAEMON_SET: &str = include_str!("../../../deploy/kubernetes/daemonset.yaml");
const MOCK: &str = include_str!("../../../deploy/mock-api/mock-api.yaml");

/// Runs until it gets SIGTERM. The first process of a sandbox receives only the signals that it has a handler for.
const STAY: &str = "trap 'exit 0' TERM; sleep 600 & wait";

/// The settings of a test's cell.
struct Setup {
    /// The agent's program. It gets the arguments in the manifests.
    program: PathBuf,
    daemon_set: String,
    mock: String,
    nodes: u16,
    probes: bool,
    restarts: u32,
}

impl Setup {
    /// A cell whose agent is `script`, without probes.
    fn agent(script: &str) -> Self {
        let arguments_of_plexd = "          args:\n            - up\n            - --config\n            - /etc/plexd/config.yaml\n";
        assert!(DAEMON_SET.contains(arguments_of_plexd));
        Self {
            program: "/bin/sh".into(),
            daemon_set: DAEMON_SET.replace(arguments_of_plexd, &arguments(script)),
            mock: mock(STAY),
            nodes: 1,
            probes: false,
            restarts: 0,
        }
    }

    fn with_program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    fn with_nodes(self, nodes: u16) -> Self {
        Self { nodes, ..self }
    }

    /// Allows each agent to exit `restarts` times after readiness.
    fn with_restarts(self, restarts: u32) -> Self {
        Self { restarts, ..self }
    }

    /// Keeps the DaemonSet's probes.
    fn with_probes(self) -> Self {
        Self {
            probes: true,
            ..self
        }
    }

    /// Changes the DaemonSet's text.
    fn with(mut self, from: &str, to: &str) -> Self {
        assert!(
            self.daemon_set.contains(from),
            "the DaemonSet does not contain {from:?}"
        );
        self.daemon_set = self.daemon_set.replacen(from, to, 1);
        self
    }

    fn with_mock(self, script: &str) -> Self {
        Self {
            mock: mock(script),
            ..self
        }
    }

    fn rendered(&self) -> Rendered {
        let mut files: BTreeMap<String, String> = [
            (
                "crds/plexdnodestate-crd.yaml",
                include_str!("../../../deploy/kubernetes/crds/plexdnodestate-crd.yaml"),
            ),
            (
                "crds/plexdhook-crd.yaml",
                include_str!("../../../deploy/kubernetes/crds/plexdhook-crd.yaml"),
            ),
            (
                "serviceaccount.yaml",
                include_str!("../../../deploy/kubernetes/serviceaccount.yaml"),
            ),
            (
                "rbac.yaml",
                include_str!("../../../deploy/kubernetes/rbac.yaml"),
            ),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
        files.insert("daemonset.yaml".to_owned(), self.daemon_set.clone());
        let mock = [("mock-api.yaml".to_owned(), self.mock.clone())].into();
        let sources = Sources {
            manifests: Folder::new("deploy/kubernetes", files),
            mock: Folder::new("deploy/mock-api", mock),
            ..Sources::builtin()
        };
        let images = LocalProvider::new(shell()).images(&cell("1.34", 1));
        render(&Inputs {
            daemon_set: None,
            config_key: None,
            sources: &sources,
            namespace: "plexd-e2e",
            nodes: 1,
            agent_image: &images.agent,
            mock_image: &images.mock,
            pull_policy: images.pull,
            agent_config: &Map::new(),
            env: &BTreeMap::new(),
            bootstrap_token: &Secret::new(TOKEN),
            probes: self.probes,
            shared: None,
        })
        .unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn cell(&self) -> Cell {
        let text = format!(
            "[matrix]\nkubernetes = [\"1.34\"]\nnodes = [{}]\n[config.default]\nexpect = {{ restarts = {} }}\n",
            self.nodes, self.restarts
        );
        Matrix::parse("matrix.toml", &text).unwrap().cells.remove(0)
    }

    async fn lab(self) -> Lab {
        Lab::new(&self).await
    }
}

fn arguments(script: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!("          args: [\"-c\", {script}, \"agent\", \"/etc/plexd/config.yaml\"]\n")
}

/// The mock's manifests without its probe, and with `script` as its arguments. In the script, `$0` is the mock's
/// address.
fn mock(script: &str) -> String {
    let start = MOCK.find("          args:\n").unwrap();
    let end = MOCK.find("          env:\n").unwrap();
    let probe = MOCK.find("          readinessProbe:\n").unwrap();
    let service = MOCK.find("---\napiVersion: v1\nkind: Service").unwrap();
    let script = serde_json::to_string(script).unwrap();
    format!(
        "{}          args: [\"-c\", {script}, \":8080\"]\n{}{}",
        &MOCK[..start],
        &MOCK[end..probe],
        &MOCK[service..]
    )
}

/// A shell as the program of both agent and mock; the manifests contain the scripts.
fn shell() -> Programs {
    Programs {
        runner: RUNNER.into(),
        base: "/nowhere".into(),
        agent: Some("/bin/sh".into()),
        mock: Some("/bin/sh".into()),
    }
}

/// A running cell.
struct Lab {
    folder: TempDir,
    cluster: Arc<dyn Cluster>,
    plan: Arc<CellPlan>,
}

impl Lab {
    async fn new(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let cell = setup.cell();
        let listener = ports::bind(&PortRange::Any).unwrap();
        let plan = Arc::new(CellPlan {
            cluster: ClusterName::exactly("test").unwrap(),
            namespace: "plexd-e2e".to_owned(),
            rendered: Arc::new(setup.rendered()),
            phases: PhaseSettings::default(),
            checks: Arc::default(),
            run: RunSurroundings::default(),
            attempt: 1,
            output_name: "cells/cell".to_owned(),
            output: folder.path().join("output"),
            runtime: folder.path().join("runtime"),
            ledger: Arc::new(Ledger::open(&state, Owner::new("tests", folder.path())).unwrap()),
            clock: RunClock::new(),
            mask: Mask::new([Secret::new(TOKEN)]),
            mark: format!("tests/{}", folder.path().display()),
            keep: Keep::Never,
            listener: Mutex::new(Some(listener)),
            cell,
        });
        let provider = LocalProvider::new(Programs {
            agent: Some(setup.program.clone()),
            ..shell()
        });
        Self {
            cluster: provider.cluster(Arc::clone(&plan)).await,
            folder,
            plan,
        }
    }

    /// A deadline longer than any of these tests needs. It passes only if what a test waits for never happens.
    fn deadline(&self) -> Deadline {
        self.plan.clock.deadline(Duration::from_secs(60))
    }

    /// Runs the phases up to and including `manifests`.
    async fn apply(&self) -> Result<(), Failure> {
        let deadline = self.deadline();
        self.cluster.begin();
        self.cluster.up(&deadline).await?;
        self.cluster.images(&deadline).await?;
        self.cluster.manifests(&deadline).await?;
        Ok(())
    }

    /// Runs the phases up to and including `readiness`.
    async fn ready(&self) -> Result<(), Failure> {
        self.apply().await?;
        let deadline = self.deadline();
        tokio::try_join!(
            self.cluster.mock_available(&deadline),
            self.cluster.agents_ready(&deadline)
        )?;
        Ok(())
    }

    /// Destroys the cell, and asserts that nothing is left of it.
    async fn destroy(self) {
        let cleared = self.cluster.destroy(&self.deadline()).await.unwrap();
        let evidence = cleared.evidence;
        assert!(
            !evidence.is_empty() && evidence.iter().all(|row| row.holds),
            "{evidence:#?}"
        );
        assert!(!self.plan.runtime.exists());
        let ledger = self.folder.path().join("runs/tests");
        assert_eq!(outstanding(&ledger).unwrap(), []);
    }

    fn node(&self, index: usize) -> NodeName {
        self.cluster.nodes()[index].clone()
    }

    /// The path on this machine that stands for `path` on a node.
    fn host(&self, node: usize, path: &str) -> PathBuf {
        let node = self.node(node);
        let host = self
            .plan
            .runtime
            .join("nodes")
            .join(node.as_str())
            .join("host");
        host.join(path.trim_start_matches('/'))
    }
}

/// Waits until a script has written `path`, and reads it.
async fn written(path: &Path) -> String {
    eventually(async || {
        let text = std::fs::read_to_string(path).ok()?;
        text.ends_with("end\n").then_some(text)
    })
    .await
}

/// Polls until `find` returns something, for changes that can't be watched.
async fn eventually<T>(mut find: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let polling = async {
        loop {
            ticks.tick().await;
            if let Some(found) = find().await {
                return found;
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), polling).await;
    waited.unwrap_or_else(|_| panic!("it did not happen within a minute"))
}
