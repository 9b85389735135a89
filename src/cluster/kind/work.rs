//! A cell's work: the tasks that run beside the phases, and the milestones by which the phases see how far they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Kube;
use super::destroy::unkept;
use super::milestone::Milestone;
use super::provider::Shared;
use super::{access, apply, create, dns, load, pod_network};
use crate::cluster::{CellPlan, NodeName, StepLog};
use crate::event::{Evidence, Failure};
use crate::machine::Resource;

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
    /// The nodes' volumes, as far as they are known.
    volumes: Mutex<BTreeSet<String>>,
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
            volumes: Mutex::default(),
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

    /// What is made for the cell, whatever the engine calls its parts.
    pub(super) fn resources(&self) -> [Resource; 3] {
        [
            Resource::Folder {
                path: self.plan.runtime.clone(),
            },
            Resource::Processes {
                mark: self.plan.mark.clone(),
            },
            Resource::KindCluster {
                name: self.plan.cluster.to_string(),
                nodes: self.nodes.iter().map(ToString::to_string).collect(),
            },
        ]
    }

    /// Writes down what is about to be made.
    pub(super) fn plan_resources(&self) -> Result<(), Failure> {
        let mut resources = self.resources().into_iter();
        let planned = resources.try_for_each(|resource| self.plan.ledger.plan(resource));
        planned.map_err(|error| unkept(&error))
    }

    /// Writes down that nothing is left.
    pub(super) fn all_gone(&self) -> Result<(), Failure> {
        let volumes = self.volumes().into_iter();
        let volumes = volumes.map(|name| Resource::Volume { name });
        let mut resources = volumes.chain(self.resources());
        let gone = resources.try_for_each(|resource| self.plan.ledger.gone(resource));
        gone.map_err(|error| unkept(&error))
    }

    /// Writes down the volumes that are not known yet.
    pub(super) fn know_volumes(&self, names: Vec<String>) -> Result<(), Failure> {
        let mut known = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if known.insert(name.clone()) {
                let planned = self.plan.ledger.plan(Resource::Volume { name });
                planned.map_err(|error| unkept(&error))?;
            }
        }
        Ok(())
    }

    /// The nodes' volumes, as far as they are known.
    pub(super) fn volumes(&self) -> BTreeSet<String> {
        let known = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
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
