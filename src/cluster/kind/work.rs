//! A cell's work: the tasks that run beside the phases, and the milestones by which the phases see how far they are.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Kube;
use super::milestone::Milestone;
use super::provider::Shared;
use super::{access, apply, create, dns, load, pod_network};
use crate::cluster::{CellPlan, NodeName, StepLog};
use crate::event::{Evidence, Failure};

/// How far a cell's cluster is.
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) plan: Arc<CellPlan>,
    pub(super) steps: StepLog,
    /// The nodes, control plane first.
    pub(super) nodes: Vec<NodeName>,
    /// The cluster's name is in the ledger: whatever has it from now on is ours to remove.
    pub(super) is_planned: AtomicBool,
    /// kind is about to be started: when.
    pub(super) prepared: Milestone<Timestamp>,
    /// kind has ended well.
    pub(super) created: Milestone<()>,
    /// A node's container runs.
    pub(super) running: BTreeMap<NodeName, Milestone<()>>,
    /// The images are on every node.
    pub(super) loaded: Milestone<Vec<Evidence>>,
    /// The API server answers.
    pub(super) kube: Milestone<Arc<Kube>>,
    /// Every object is applied.
    pub(super) applied: Milestone<Vec<Evidence>>,
    /// Fails when the cluster can't come up any more or has gone down.
    pub(super) lost: Milestone<()>,
    /// What was changed of kind's defaults.
    pub(super) tuning: Mutex<Vec<String>>,
}

impl Work {
    pub(super) fn new(shared: Arc<Shared>, plan: Arc<CellPlan>) -> Self {
        let nodes = plan.cluster.nodes(plan.cell.nodes.get());
        Self {
            steps: StepLog::new(&plan.clock),
            running: nodes
                .iter()
                .map(|node| (node.clone(), Milestone::new()))
                .collect(),
            nodes,
            is_planned: AtomicBool::new(false),
            prepared: Milestone::new(),
            created: Milestone::new(),
            loaded: Milestone::new(),
            kube: Milestone::new(),
            applied: Milestone::new(),
            lost: Milestone::new(),
            tuning: Mutex::default(),
            shared,
            plan,
        }
    }

    /// The control-plane node.
    pub(super) fn control_plane(&self) -> &NodeName {
        // There is one at least: a cell has one node or more.
        &self.nodes[0]
    }

    /// Waits until the container of `node` runs.
    pub(super) async fn is_running(&self, node: &NodeName) -> Result<(), Failure> {
        match self.running.get(node) {
            Some(milestone) => milestone.reached().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until the containers of all nodes run.
    pub(super) async fn all_running(&self) -> Result<(), Failure> {
        for milestone in self.running.values() {
            milestone.reached().await?;
        }
        Ok(())
    }

    pub(super) fn set_tuning(&self, tuning: Vec<String>) {
        *self.tuning.lock().unwrap_or_else(PoisonError::into_inner) = tuning;
    }
}

/// Starts everything. Each task ends when it is done or when `stop` is cancelled; creation ends what it has started first.
pub(super) fn begin(work: &Arc<Work>, tasks: &TaskTracker, stop: &CancellationToken) {
    let spawn = |task: futures::future::BoxFuture<'static, ()>| {
        tasks.spawn(stop.clone().run_until_cancelled_owned(task));
    };
    tasks.spawn(create::run(Arc::clone(work), stop.clone()));
    let it = Arc::clone(work);
    spawn(Box::pin(async move { create::follow(&it).await }));
    let it = Arc::clone(work);
    spawn(Box::pin(async move { it.loaded.set(load::all(&it).await) }));
    let it = Arc::clone(work);
    let (watches, stopped) = (tasks.clone(), stop.clone());
    spawn(Box::pin(async move {
        it.kube.set(access::open(&it, &watches, &stopped).await);
    }));
    let it = Arc::clone(work);
    spawn(Box::pin(async move { dns::tune(&it).await }));
    let it = Arc::clone(work);
    spawn(Box::pin(async move { pod_network::assign(&it).await }));
    let it = Arc::clone(work);
    spawn(Box::pin(
        async move { it.applied.set(apply::all(&it).await) },
    ));
}
