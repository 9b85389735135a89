//! The interface between the suite and the places where cells run, so that the suite doesn't depend on a particular
//! provider.
//!
//! A provider knows nothing of expectations and verdicts. It reports every problem as a [`Failure`] with a symptom.

mod command;
pub mod existing;
mod forward;
mod host;
pub mod images;
pub mod kind;
mod kubernetes;
pub mod local;
mod milestone;
mod name;
mod plan;
mod reclaim;
mod retry;
mod steps;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::deadline::Deadline;
use crate::event::{CellFacts, Evidence, Execution, Failure};
use crate::excerpt::Log;
use crate::machine::Ledger;
use crate::machine::budget::Need;
use crate::manifest::Tenancy;
use crate::matrix::{Cell, CellId, Phase};

pub(crate) use command::{CommandEnd, CommandRun, Surroundings, run as run_command};
pub use forward::{Connect, Forward, Stream};
pub use host::HostReclaimer;
pub use images::ImageNames;
pub use name::{ClusterName, ClusterNameError, NodeName, RUN_LENGTH};
pub use plan::{CellPlan, Programs, RunSurroundings};
pub use reclaim::{Entry, Reclaim, Reclaimed};
pub use steps::StepLog;

/// A provider: a way to run cells.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its name in records: [`crate::matrix::ProviderChoice::name`].
    fn name(&self) -> &'static str;

    /// Whether `--reuse` has an effect.
    fn reuses(&self) -> bool {
        false
    }

    /// Whether this provider really runs `phase`, or simulates it.
    fn execution(&self, phase: Phase) -> Execution;

    /// The engine and tools with their versions, for the record.
    async fn tools(&self) -> Vec<String>;

    /// The image names for the manifests of `cell`, known before any cluster exists.
    fn images(&self, cell: &Cell) -> ImageNames;

    /// The namespace for all objects of the cell whose cluster would be called `name`.
    fn namespace(&self, _name: &ClusterName) -> String {
        NAMESPACE.to_owned()
    }

    /// How `cell` of the run `run`, in its `namespace`, is separated from others in the same cluster; `None` if each
    /// cell has its own cluster.
    fn tenancy(&self, _cell: &Cell, _run: &str, _namespace: &str) -> Option<Tenancy> {
        None
    }

    /// The provider's configuration for the cluster of `cell`, as YAML; `None` if it has none.
    fn cluster_config(&self, _cell: &Cell) -> Option<String> {
        None
    }

    /// The queue of `cell`: cells in the same queue run one after another, because they use the same cluster. `None` if
    /// the cell doesn't have to wait for others.
    fn queue(&self, _cell: &Cell) -> Option<String> {
        None
    }

    /// Checks that everything that the provider needs for `cells` is available, before any of them starts. Fails when
    /// `deadline` passes.
    async fn preflight(&self, cells: &[Cell], deadline: &Deadline) -> Result<Survey, Failure>;

    /// Announces `cells` in addition to those announced before, so that a cell that ends can leave its cluster to a
    /// later one.
    fn expect(&self, _cells: &[Cell]) {}

    /// How much of this machine's resources the cell needs while it runs; almost nothing if it runs elsewhere.
    fn need(&self, _cell: &Cell) -> Need {
        Need {
            slots: 1,
            slots_when_ready: 1,
            ..Need::default()
        }
    }

    /// Prepares the cluster of `plan`, unless that was done before, so that cells with such a cluster start sooner. If
    /// `stop` is cancelled, stops and cleans up. `None` if the provider doesn't prepare clusters.
    async fn prepare(
        &self,
        _plan: Arc<CellPlan>,
        _stop: &CancellationToken,
    ) -> Result<Option<Preparation>, Failure> {
        Ok(None)
    }

    /// The cluster for one cell: one that an earlier cell in its queue handed over, or a new one that doesn't exist
    /// yet.
    async fn cluster(&self, plan: Arc<CellPlan>) -> Arc<dyn Cluster>;

    /// Called after the last cell: removes what the cells shared, unless other runs need it. Returns notices for the
    /// report.
    async fn finish(&self, ledger: &Ledger, deadline: &Deadline) -> Result<Vec<String>, Failure>;
}

/// The namespace, unless a provider chooses another one.
const NAMESPACE: &str = "plexd-e2e";

/// How long [`Cluster::final_check`] waits at most for the first run of a liveness probe: more than the usual delays.
const LONGEST_FIRST_PROBE: Duration = Duration::from_secs(30);
/// How long [`Cluster::final_check`] waits at most for the next run of a failing liveness probe: more than the
/// kubelet's default period.
const LONGEST_RECOVERY: Duration = Duration::from_secs(15);

/// A prepared cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// The id of its template.
    pub template: String,
    /// Whether this call created it.
    pub is_new: bool,
}

/// The result of the check before the first cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What was checked.
    pub evidence: Vec<Evidence>,
    /// The cells that this provider has to skip, although nothing is wrong, with the reasons.
    pub skips: BTreeMap<CellId, String>,
    /// Notices for the user.
    pub notices: Vec<String>,
}

/// The result of deleting a cell's cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Evidence that nothing is left.
    pub evidence: Vec<Evidence>,
    /// The resources that remain because the runner can't delete them.
    pub warnings: Vec<String>,
}

impl From<Vec<Evidence>> for Cleared {
    fn from(evidence: Vec<Evidence>) -> Self {
        let warnings = Vec::new();
        Self { evidence, warnings }
    }
}

/// A diagnostics file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its name in the cell's folder.
    pub file: String,
    /// Its content.
    pub text: String,
    /// Whether reports quote an excerpt.
    pub quoted: bool,
}

/// The cluster of one cell. The methods are called in the order of the phases, each within the deadline of its phase,
/// and [`Cluster::destroy`] or its alternative is always called last, even if others were not called. Every future may
/// be dropped at any point.
///
/// A method that waits returns its evidence, and fails at once if waiting longer can't help.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Starts all work that doesn't have to wait for its phase. The phases then wait for their part of it.
    fn begin(&self);

    /// `cluster`: every node is ready, core pods run, and the version and the number of nodes are as requested.
    async fn up(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `images`: the images of agent and mock are on every node, unchanged.
    async fn images(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `manifests`: every object is applied, in order.
    async fn manifests(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `readiness`, first half: the mock is available.
    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `readiness`, second half: each node has exactly one agent, and it is ready.
    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// One sentence for each agent process that ended before readiness, for warnings.
    fn early_ends(&self) -> Vec<String>;

    /// The final check of the agents before cleanup: fails if a process ended without the suite's doing, or if the
    /// kubelet is about to kill one. Returns warnings about other problems.
    async fn final_check(&self, deadline: &Deadline) -> Result<Vec<String>, Failure>;

    /// Makes the mock reachable from the host until [`Cluster::destroy`], at an address that stays the same if the mock
    /// restarts or a connection is re-established.
    async fn connect(&self, deadline: &Deadline) -> Result<SocketAddr, Failure>;

    /// The value of KUBECONFIG for programs on this machine; `None` if there is no API server.
    async fn kubeconfig(&self) -> Result<Option<OsString>, Failure> {
        Ok(None)
    }

    /// The nodes, control plane first.
    fn nodes(&self) -> Vec<NodeName>;

    /// The facts about the cluster that are known so far.
    fn facts(&self) -> CellFacts;

    /// Returns only on a failure that waiting can't fix: an agent's process ended after readiness, or the mock is gone.
    /// Raced against each phase after readiness.
    async fn broken(&self) -> Failure;

    /// The log of the current agent on `node`.
    async fn agent_log(&self, node: &NodeName) -> Result<String, Failure>;

    /// The logs of the agents (or only of the one on `node`) and of the mock, masked. Never fails: if a log can't be
    /// read, its lines have the reason.
    async fn logs(&self, node: Option<&NodeName>) -> Vec<Log>;

    /// Deletes the agents of `nodes` at once, and waits until a new one is ready on each node. Returns evidence that
    /// they are new.
    async fn restart(
        &self,
        nodes: &[NodeName],
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure>;

    /// Diagnostics, collected before the cluster is gone. If one can't be collected, its text has the reason.
    async fn diagnostics(&self, deadline: &Deadline) -> Vec<Diagnostic>;

    /// Deletes everything that belongs to the cell, whatever state it is in, and proves that nothing is left.
    async fn destroy(&self, deadline: &Deadline) -> Result<Cleared, Failure>;

    /// Like [`Cluster::destroy`], but keeps what the next cell in the queue can use, proven clean.
    async fn hand_over(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        self.destroy(deadline).await
    }

    /// Stops everything that runs on this machine for the cell, and keeps its cluster. If it `is_sound`, a later run
    /// may reuse it. Returns the commands to inspect and to delete it.
    async fn keep(&self, is_sound: bool, deadline: &Deadline) -> Result<Vec<String>, Failure>;

    /// The cell's steps, both finished and running.
    fn steps(&self) -> &StepLog;
}
