//! Where a cell runs: what a provider has to offer, so that the suite need not know which one it is.
//!
//! A provider knows nothing of expectations and verdicts. Whatever goes wrong it says as a [`Failure`], by the one table of symptoms.

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

use crate::deadline::Deadline;
use crate::event::{CellFacts, Evidence, Execution, Failure, Step};
use crate::excerpt::Log;
use crate::machine::Ledger;
use crate::machine::budget::Need;
use crate::manifest::Shared;
use crate::matrix::{Cell, CellId, Phase};

pub(crate) use command::{CommandEnd, CommandRun, Surroundings, run as run_command};
pub use forward::{Connect, Forward, Stream};
pub use host::HostReclaimer;
pub use images::ImageNames;
pub use name::{ClusterName, ClusterNameError, NodeName, RUN_LENGTH};
pub(crate) use plan::quoted;
pub use plan::{CellPlan, Programs, RunSurroundings};
pub use reclaim::{Entry, Reclaim, Reclaimed};
pub use steps::StepLog;

/// A kind of place where cells run.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its name in records: [`crate::matrix::ProviderChoice::name`].
    fn name(&self) -> &'static str;

    /// Whether `--reuse` has an effect.
    fn reuses(&self) -> bool {
        false
    }

    /// Whether `phase` is really run here.
    fn execution(&self, phase: Phase) -> Execution;

    /// Engine and tools with their versions, for the record.
    async fn tools(&self) -> Vec<String>;

    /// The images that the manifests of `cell` name here, known before any cluster is.
    fn images(&self, cell: &Cell) -> ImageNames;

    /// The namespace of everything that is applied for the cell whose cluster would be called `name`.
    fn namespace(&self, _name: &ClusterName) -> String {
        NAMESPACE.to_owned()
    }

    /// What keeps a cell apart, where others use its cluster too: `cell` of the run `run` in its `namespace`.
    fn shared(&self, _cell: &Cell, _run: &str, _namespace: &str) -> Option<Shared> {
        None
    }

    /// The provider's own configuration of the cluster that `cell` would get, as YAML; none if it has none.
    fn cluster_config(&self, _cell: &Cell) -> Option<String> {
        None
    }

    /// Cells that are of one line run one after another, because they get the same place; none where a cell waits for no other.
    fn line(&self, _cell: &Cell) -> Option<String> {
        None
    }

    /// Looks at everything that the provider needs for `cells`, before any of them.
    async fn preflight(&self, cells: &[Cell], deadline: &Deadline) -> Result<Survey, Failure>;

    /// Says that `cells` will come, after those that were announced before: one that ends may leave its place to one of them.
    fn expect(&self, _cells: &[Cell]) {}

    /// What a cell takes of this machine while it runs; next to nothing where it runs elsewhere.
    fn need(&self, _cell: &Cell) -> Need {
        Need {
            slots: 1,
            ..Need::default()
        }
    }

    /// The place for one cell: one that another cell of its line has left, or a new one, of which nothing is made yet.
    async fn cluster(&self, plan: Arc<CellPlan>) -> Arc<dyn Cluster>;

    /// After the last cell: takes away what the cells had in common, and nobody else needs. Returns what there is to say of the run.
    async fn finish(&self, ledger: &Ledger, deadline: &Deadline) -> Result<Vec<String>, Failure>;
}

/// The namespace where no provider has another one.
const NAMESPACE: &str = "plexd-e2e";

/// The longest that [`Cluster::last_look`] waits for a liveness probe to run for the first time: more than the usual delays.
const LONGEST_FIRST_PROBE: Duration = Duration::from_secs(30);
/// The longest that [`Cluster::last_look`] waits for a failing liveness probe to run again: more than the kubelet's default
/// period.
const LONGEST_RECOVERY: Duration = Duration::from_secs(15);

/// What a provider has found before the first cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What was looked at.
    pub evidence: Vec<Evidence>,
    /// The cells that can't run here, though nothing is wrong, and why.
    pub skips: BTreeMap<CellId, String>,
}

impl From<Vec<Evidence>> for Survey {
    fn from(evidence: Vec<Evidence>) -> Self {
        let skips = BTreeMap::new();
        Self { evidence, skips }
    }
}

/// A cell's place after its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// What shows that nothing is left.
    pub evidence: Vec<Evidence>,
    /// What is left all the same, where nothing of ours can take it away.
    pub warnings: Vec<String>,
}

impl From<Vec<Evidence>> for Cleared {
    fn from(evidence: Vec<Evidence>) -> Self {
        let warnings = Vec::new();
        Self { evidence, warnings }
    }
}

/// A file that helps to understand a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its name in the cell's folder.
    pub file: String,
    /// What is in it.
    pub text: String,
    /// Whether reports quote its last lines.
    pub quoted: bool,
}

/// The place of one cell. The methods are called in the order of the phases, each of them inside its phase's deadline, and
/// [`Cluster::destroy`], or what stands for it, always last, however far the others came. Every future may be dropped at any point.
///
/// Each that waits returns what it looked at, and fails at once where waiting longer can't help.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Starts all work that need not wait for its phase; the phases then wait for their part of it.
    fn begin(&self);

    /// `cluster`: every node is ready, core pods run, version and number of nodes are as asked for.
    async fn up(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `images`: agent and mock are on every node, as they were built.
    async fn images(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `manifests`: every object is applied, in order.
    async fn manifests(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `readiness`, first half: the mock is available.
    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// `readiness`, second half: an agent is ready on every node, none is missing, none is too many.
    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure>;

    /// What happened to the agents before they were ready and is worth a warning: each process that ended, in a sentence.
    fn early_ends(&self) -> Vec<String>;

    /// The last check of the agents before clean-up: fails if a process ended that the suite did not end, or if the kubelet
    /// is about to kill one. Returns warnings about everything else that is wrong with them.
    async fn last_look(&self, deadline: &Deadline) -> Result<Vec<String>, Failure>;

    /// Makes the mock reachable from the host until [`Cluster::destroy`], at an address that does not change when the mock
    /// or a connection to it comes anew.
    async fn connect(&self, deadline: &Deadline) -> Result<SocketAddr, Failure>;

    /// The value of KUBECONFIG with which programs on this machine reach the cluster; none if there is no API server.
    async fn kubeconfig(&self) -> Result<Option<OsString>, Failure> {
        Ok(None)
    }

    /// The nodes, control plane first.
    fn nodes(&self) -> Vec<NodeName>;

    /// What is known of the cluster by now.
    fn facts(&self) -> CellFacts;

    /// Ends only when something is seen that no waiting can mend: an agent whose process ended after readiness, a mock that
    /// is gone. Raced against each phase after readiness.
    async fn broken(&self) -> Failure;

    /// The log of the agent that runs on `node` now.
    async fn agent_log(&self, node: &NodeName) -> Result<String, Failure>;

    /// The logs that matter, without secrets: the agents' (of `node` alone, where one is named) and the mock's. Never fails: what
    /// can't be read says so in its lines.
    async fn logs(&self, node: Option<&NodeName>) -> Vec<Log>;

    /// Deletes the agents of `nodes`, all at once, and waits until another one is ready on each. Returns what shows that they
    /// are other ones.
    async fn restart(
        &self,
        nodes: &[NodeName],
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure>;

    /// Everything that helps to understand a failure, while it is still there. What can't be collected says so in its text.
    async fn diagnostics(&self, deadline: &Deadline) -> Vec<Diagnostic>;

    /// Takes everything of the cell away, whatever state it is in, and proves that nothing is left.
    async fn destroy(&self, deadline: &Deadline) -> Result<Cleared, Failure>;

    /// As [`Cluster::destroy`], but what the next cell of the same line can use may stay for it, proven clean.
    async fn hand_over(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        self.destroy(deadline).await
    }

    /// Ends what runs here for the cell and leaves its place as it is. Returns the commands by which people look inside, and by
    /// which they take it away.
    async fn keep(&self, deadline: &Deadline) -> Result<Vec<String>, Failure>;

    /// Where the time went.
    fn steps(&self) -> Vec<Step>;
}
