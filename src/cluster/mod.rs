//! The interface between the suite and the providers, so that the suite doesn't depend on a particular provider.
//!
//! A provider knows nothing about expectations and verdicts. It reports every problem as a [`Failure`] with a symptom.

mod capacity;
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
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::deadline::Deadline;
use crate::event::{CellFacts, Evidence, Execution, Failure};
use crate::excerpt::Log;
use crate::machine::Ledger;
use crate::machine::budget::Need;
use crate::manifest::Tenancy;
use crate::manifest::names::NAMESPACE;
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
    /// The provider's name in records: see [`crate::matrix::ProviderChoice::name`].
    fn name(&self) -> &'static str;

    /// Whether `--reuse` has an effect with this provider.
    fn reuses(&self) -> bool {
        false
    }

    /// Whether this provider really runs `phase` or only simulates it.
    fn execution(&self, phase: Phase) -> Execution;

    /// The engine and tools with their versions, for the record.
    async fn tools(&self) -> Vec<String>;

    /// The image names for the manifests of `cell`. They are known before any cluster exists.
    fn images(&self, cell: &Cell) -> ImageNames;

    /// The namespace for all objects of the cell whose cluster would be called `name`.
    fn namespace(&self, _name: &ClusterName) -> String {
        NAMESPACE.to_owned()
    }

    /// The settings that isolate `cell` of the run `run`, in its `namespace`, from other cells in the same cluster;
    /// `None` if each cell has its own cluster.
    fn tenancy(&self, _cell: &Cell, _run: &str, _namespace: &str) -> Option<Tenancy> {
        None
    }

    /// The provider's configuration for the cluster of `cell`, as YAML; `None` if it has none.
    fn cluster_config(&self, _cell: &Cell) -> Option<String> {
        None
    }

    /// The queue of `cell`. Cells in the same queue run one after another, because they use the same cluster. `None` if
    /// the cell doesn't have to wait for others.
    fn queue(&self, _cell: &Cell) -> Option<String> {
        None
    }

    /// Called before the first cell starts. Checks that everything that the provider needs for `cells` is available.
    /// Fails when `deadline` passes.
    async fn preflight(&self, cells: &[Cell], deadline: &Deadline) -> Result<Survey, Failure>;

    /// Announces further cells that will run. A cell that ends can hand over its cluster to one of the announced cells.
    fn expect(&self, _cells: &[Cell]) {}

    /// How much of this machine's resources the cell needs while it runs. The default is almost nothing, for providers
    /// whose cells run elsewhere.
    fn need(&self, _cell: &Cell) -> Need {
        Need {
            slots: 1,
            slots_when_ready: 1,
            ..Need::default()
        }
    }

    /// Prepares the cluster of `plan`, so that cells with such a cluster start sooner. If it is already prepared, only
    /// finds it. If `stop` is cancelled, stops and cleans up. Returns `None` if the provider doesn't prepare clusters.
    async fn prepare(
        &self,
        _plan: Arc<CellPlan>,
        _stop: &CancellationToken,
    ) -> Result<Option<Preparation>, Failure> {
        Ok(None)
    }

    /// The cluster for one cell: a cluster that an earlier cell handed over or an earlier run kept, or else a new one
    /// that doesn't exist yet.
    async fn cluster(&self, plan: Arc<CellPlan>) -> Arc<dyn Cluster>;

    /// Called after the last cell. Deletes the resources that the cells shared, unless other runs need them. Returns
    /// notices for the report.
    async fn finish(&self, _ledger: &Ledger, _deadline: &Deadline) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

/// The longest time that [`Cluster::final_check`] waits for the first run of a liveness probe: more than the usual
/// delays.
const LONGEST_FIRST_PROBE: Duration = Duration::from_secs(30);
/// The longest time that [`Cluster::final_check`] waits for the next run of a failing liveness probe: more than the
/// kubelet's default period.
const LONGEST_RECOVERY: Duration = Duration::from_secs(15);

/// A prepared cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// The id of the cluster's template.
    pub template: String,
    /// Whether this call created the template.
    pub is_new: bool,
}

/// The result of [`Provider::preflight`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What was checked.
    pub evidence: Vec<Evidence>,
    /// The cells that this provider has to skip, each with the reason. The reason isn't a failure.
    pub skips: BTreeMap<CellId, String>,
    /// Notices for the user.
    pub notices: Vec<String>,
}

/// The result of deleting a cell's cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Evidence that resources are gone.
    pub evidence: Vec<Evidence>,
    /// Warnings about resources that remain because the runner can't delete them.
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
    /// Whether reports quote an excerpt of the text.
    pub quoted: bool,
}

/// The cluster of one cell. The suite calls the methods in the order of the phases, each with the deadline of its
/// phase. It always calls [`Cluster::destroy`], [`Cluster::hand_over`] or [`Cluster::keep`] last, even if it hasn't
/// called other methods. The future of a method may be dropped at any point.
///
/// A method that waits returns its evidence, and fails immediately if waiting longer can't help.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Starts all work that doesn't have to wait for its phase. Each phase then waits for its part of that work.
    fn begin(&self) {}

    /// `cluster`: every node is ready, core pods are running, and the version and the number of nodes are as requested.
    async fn up(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `images`: the images of the agent and the mock are on every node, unchanged.
    async fn images(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `manifests`: every object is applied, in order.
    async fn manifests(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `readiness`, first half: the mock is available.
    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `readiness`, second half: each node has exactly one agent, and it is ready.
    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// Warnings about agents whose process ended before readiness, in one sentence per agent.
    fn early_ends(&self) -> Vec<String>;

    /// The final check of the agents before cleanup. Fails if an agent's process ended although the suite didn't end
    /// it, or if the kubelet is about to kill such a process. Returns warnings about other problems.
    async fn final_check(&self, deadline: &Deadline) -> Result<Vec<String>, Failure>;

    /// Makes the mock reachable from the host until [`Cluster::destroy`]. The address stays the same if the mock
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

    /// Waits for a failure that waiting longer can't fix, for example because an agent's process ended after readiness,
    /// or because the mock is gone. The suite runs this concurrently with each phase after readiness, and ends the
    /// phase when this returns.
    async fn broken(&self) -> Failure;

    /// The logs of the mock and of all agents, or only of the agent on `node`, with secrets masked. Never fails: if a
    /// log can't be read, it contains the reason instead.
    async fn logs(&self, node: Option<&NodeName>) -> Vec<Log>;

    /// Deletes the agents on all `nodes` at the same time, and waits until a new agent is ready on each node. Reaches
    /// `ended` when the processes of all deleted agents have ended. Returns evidence that the agents are new.
    async fn restart(
        &self,
        nodes: &[NodeName],
        ended: &SetOnce<()>,
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure>;

    /// Collects diagnostics, before the cluster is deleted. If a diagnostic can't be collected, its text contains the
    /// reason.
    async fn diagnostics(&self, deadline: &Deadline) -> Vec<Diagnostic>;

    /// Deletes everything that belongs to the cell, in any state, and checks that nothing is left.
    async fn destroy(&self, deadline: &Deadline) -> Result<Cleared, Failure>;

    /// Like [`Cluster::destroy`], but keeps what the next cell in the queue can use, after checking that it is clean.
    async fn hand_over(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        self.destroy(deadline).await
    }

    /// Stops the runner's work for the cell, but keeps the cell's cluster. If the cluster `is_sound`, a later run may
    /// reuse it. Returns the commands to inspect and to delete the cluster.
    async fn keep(&self, is_sound: bool, deadline: &Deadline) -> Result<Vec<String>, Failure>;

    /// The cell's finished and running steps.
    fn steps(&self) -> &StepLog;
}
