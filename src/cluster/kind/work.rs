//! The creation of a cluster: tasks that run in parallel with the phases, and milestones that the phases wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::models::ContainerSummary;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::claim::{Claim, Kept, KindResource, SEALS};
use super::config::SEAL_FOLDER;
use super::fingerprint::Fingerprint;
use super::node_state::{self, NodeStates};
use super::prepared::Origin;
use super::provider::KindContext;
use super::{access, create, dns, engine_health, load, pod_network, stale};
use crate::cluster::kubernetes::{Access, Tenant, ready};
use crate::cluster::milestone::Milestone;
use crate::cluster::{CellPlan, NodeName, StepLog};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::machine::Lock;
use crate::matrix::Keep;

/// The state of a cluster's creation.
pub(super) struct Work {
    pub(super) shared: Arc<KindContext>,
    /// The cell that the cluster is created for.
    pub(super) plan: Arc<CellPlan>,
    pub(super) source: Source,
    pub(super) steps: Arc<StepLog>,
    /// The names of the nodes' containers, control plane first. kind gives each node the name of its container, but the
    /// nodes of a clone have the names of the template's nodes: see [`Self::nodes`].
    pub(super) containers: Vec<NodeName>,
    /// The seal, which only the containers of this cluster have.
    pub(super) seal: String,
    /// The claim to the cluster, as soon as it is in the ledger.
    claim: Mutex<Option<Claim>>,
    /// Keeps other runs from using the cluster's name.
    name: Mutex<Option<Lock>>,
    /// Reached right before kind or the engine starts to create containers. The value is the time of that moment.
    pub(super) begun: Milestone<Timestamp>,
    /// Reached when kind has succeeded, or when the containers of a clone were created.
    pub(super) created: Milestone<()>,
    /// How the cluster is created. Set before any milestone is reached.
    pub(super) origin: OnceLock<Origin>,
    /// For each node's container: reached when it is running.
    pub(super) running: BTreeMap<NodeName, Milestone<()>>,
    /// Reached when the images are loaded on every node.
    pub(super) loaded: Milestone<Vec<Evidence>>,
    /// Reached when the API server responds.
    pub(super) access: Milestone<Access>,
    /// Fails if the cluster can't come up anymore, or has gone down.
    pub(super) lost: Arc<Milestone<()>>,
    /// The fingerprint, if another cell may reuse the cluster.
    pub(super) fingerprint: OnceLock<Fingerprint>,
    /// The state of the nodes before the current cell, if another cell may reuse the cluster.
    before: Mutex<Arc<Milestone<NodeStates>>>,
    /// Reached when the namespace of the previous cell is deleted.
    deletion: Mutex<Arc<Milestone<()>>>,
    /// How long the cluster took to come up.
    pub(super) creation_time: OnceLock<Duration>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What may create a cluster.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// kind, or a template if there is one.
    Any,
    /// Only kind, without a template. Contains the reason if a template was rejected.
    Kind(Option<String>),
}

impl Work {
    /// The cluster of `tenant`, which is its first cell.
    pub(super) fn new(shared: Arc<KindContext>, tenant: &Tenant, source: Source) -> Self {
        let plan = Arc::clone(&tenant.plan);
        let containers = plan.cluster.nodes(plan.cell.nodes.get());
        let running = containers.iter().cloned();
        Self {
            steps: Arc::clone(&tenant.steps),
            running: running.map(|node| (node, Milestone::new())).collect(),
            containers,
            seal: format!("{:032x}", rand::random::<u128>()),
            claim: Mutex::default(),
            name: Mutex::default(),
            begun: Milestone::new(),
            origin: OnceLock::new(),
            created: Milestone::new(),
            loaded: Milestone::new(),
            access: Milestone::new(),
            lost: Arc::clone(&tenant.lost),
            fingerprint: OnceLock::new(),
            before: Mutex::new(Arc::new(Milestone::new())),
            deletion: Mutex::new(Arc::new(Milestone::reached_already(()))),
            creation_time: OnceLock::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            shared,
            plan,
            source,
        }
    }

    /// The container of the control-plane node.
    pub(super) fn control_plane(&self) -> &NodeName {
        // A cell has at least one node.
        &self.containers[0]
    }

    /// The names of the nodes in Kubernetes, control plane first.
    pub(super) fn nodes(&self) -> Vec<NodeName> {
        match self.origin.get() {
            Some(Origin::Prepared(template)) => template.nodes(),
            Some(Origin::Kept(kept)) => kept.nodes.clone(),
            Some(Origin::Fresh { .. }) | None => self.containers.clone(),
        }
    }

    /// Waits until the containers of all nodes are running.
    pub(super) async fn all_running(&self) -> Result<(), Failure> {
        for milestone in self.running.values() {
            milestone.reached().await?;
        }
        Ok(())
    }

    /// Whether another cell, of this run or a later one, may use the cluster.
    pub(super) fn may_be_reused(&self) -> bool {
        self.shared.options.reuse || self.plan.keep != Keep::Never
    }

    /// Takes over a cluster that an earlier run kept. `name` is the lock of the cluster's name.
    pub(super) fn take_over(&self, claim: Claim, name: Lock, kept: Kept) -> Result<(), Failure> {
        *self.name.lock() = Some(name);
        let mark = self.plan.mark.clone();
        self.record(Claim { mark, ..claim })?;
        self.before().set(Ok(kept.before.clone()));
        let creation_time = Duration::from_millis(kept.creation_ms);
        self.creation_time.get_or_init(|| creation_time);
        self.origin.get_or_init(|| Origin::Kept(Box::new(kept)));
        self.begun.set(Ok(Timestamp::now()));
        self.created.set(Ok(()));
        for milestone in self.running.values() {
            milestone.set(Ok(()));
        }
        Ok(())
    }

    /// The private folders that earlier runs kept for the cluster.
    pub(super) fn earlier_folders(&self) -> &[PathBuf] {
        match self.origin.get() {
            Some(Origin::Kept(kept)) => &kept.folders,
            Some(Origin::Fresh(_) | Origin::Prepared(_)) | None => &[],
        }
    }

    /// A file in the cell's private folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.plan.runtime.join(name)
    }

    /// Locks the cluster's name until [`Self::release_name`] is called or this process ends.
    pub(super) fn lock_name(&self) -> Result<(), Failure> {
        let name = self.shared.lock_name(self.plan.cluster.as_str())?;
        let name = name.ok_or_else(|| stale::in_use(self.plan.cluster.as_str()))?;
        *self.name.lock() = Some(name);
        Ok(())
    }

    /// Lets other runs use the cluster's name.
    pub(super) fn release_name(&self) -> Result<(), Failure> {
        let released = self.name.lock().take().map_or(Ok(()), Lock::remove);
        Ok(released?)
    }

    /// The claim to the cluster; `None` before it is in the ledger.
    pub(super) fn claim(&self) -> Option<Claim> {
        self.claim.lock().clone()
    }

    /// Records the resources that are about to be created.
    pub(super) fn plan_resources(&self) -> Result<(), Failure> {
        let claim = Claim {
            name: self.plan.cluster.to_string(),
            mark: self.plan.mark.clone(),
            seal: self.seal.clone(),
            planned: Timestamp::now(),
            containers: BTreeSet::new(),
            volumes: BTreeSet::new(),
            kept: None,
        };
        self.record(claim)
    }

    /// Claims the cluster and the resources on the host.
    fn record(&self, claim: Claim) -> Result<(), Failure> {
        *self.claim.lock() = Some(claim.clone());
        for resource in self.plan.on_host() {
            self.plan.ledger.plan(&resource)?;
        }
        Ok(self.plan.ledger.plan(&KindResource::Cluster(claim))?)
    }

    /// Records that nothing is left.
    pub(super) fn all_gone(&self) -> Result<(), Failure> {
        if let Some(claim) = self.claim() {
            self.plan.ledger.gone(&KindResource::Cluster(claim))?;
        }
        for resource in self.plan.on_host() {
            self.plan.ledger.gone(&resource)?;
        }
        Ok(())
    }

    /// Records the containers in `found` that belong to the cluster and aren't recorded yet, and their volumes.
    pub(super) fn record_containers(&self, found: &[ContainerSummary]) -> Result<(), Failure> {
        if let Some(claim) = self.claim.lock().as_mut()
            && claim.add(found)
        {
            let cluster = KindResource::Cluster(claim.clone());
            self.plan.ledger.plan(&cluster)?;
        }
        Ok(())
    }

    /// The mount of the seal, in the engine's format.
    pub(super) fn sealed_mount(&self) -> String {
        let folder = self.file(SEAL_FOLDER);
        format!("{}:{SEALS}/{}:ro", folder.display(), self.seal)
    }

    /// Spawns `task`, which runs until it is done or the tasks are stopped.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.stop.clone().run_until_cancelled_owned(Box::pin(task));
        self.tasks.spawn(task.in_current_span());
    }

    /// The state of the nodes before the current cell.
    pub(super) fn before(&self) -> Arc<Milestone<NodeStates>> {
        Arc::clone(&self.before.lock())
    }

    /// Runs `work` in the background. `work` waits until the namespace of a cell is deleted.
    pub(super) fn watch_deletion(
        &self,
        work: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        let deletion = Arc::new(Milestone::new());
        *self.deletion.lock() = Arc::clone(&deletion);
        let steps = Arc::clone(&self.steps);
        self.spawn(async move {
            deletion.set(steps.measure("namespace deleted", Box::pin(work)).await);
        });
    }

    /// Waits until the namespace of the previous cell is deleted.
    pub(super) async fn wait_for_deletion(&self, deadline: &Deadline) -> Result<(), Failure> {
        let deletion = Arc::clone(&self.deletion.lock());
        let deleted = deadline.run(deletion.reached()).await;
        deleted.unwrap_or_else(|timed_out| {
            let message = format!("deleting the namespace of the previous cell {timed_out}");
            Err(Failure::new(Symptom::CleanupIncomplete, message))
        })
    }

    /// Stops the tasks, and waits until they have ended. The task that creates the cluster ends its processes first.
    pub(super) async fn end(&self, deadline: &Deadline) {
        self.stop.cancel();
        self.tasks.close();
        if let Err(timed_out) = deadline.run(self.tasks.wait()).await {
            tracing::warn!(%timed_out, "the cluster's tasks did not end in time");
        }
    }
}

/// Starts the tasks that create the cluster.
pub(super) fn begin(work: &Arc<Work>, tenant: &Arc<Tenant>) {
    attach(work);
    work.tasks
        .spawn(create::run(Arc::clone(work), work.stop.clone()).in_current_span());
    work.spawn(dns::tune(Arc::clone(work)));
    work.spawn(pod_network::assign(Arc::clone(work), Arc::clone(tenant)));
}

/// Starts the tasks that every cluster needs, whether it is created or exists already.
pub(super) fn attach(work: &Arc<Work>) {
    work.spawn(create::follow(Arc::clone(work)));
    work.spawn(engine_health::watch(Arc::clone(work)));
    work.spawn(load::when_running(Arc::clone(work)));
    work.spawn(access::when_running(Arc::clone(work)));
}

/// Starts the tasks of the cell in the cluster, which another cell may have used before.
pub(super) fn start_cell(work: &Arc<Work>, tenant: &Arc<Tenant>) {
    enter(work, tenant);
    *work.before.lock() = Arc::new(Milestone::new());
    let (it, cell) = (Arc::clone(work), Arc::clone(tenant));
    tenant.spawn(async move {
        let may_start = Milestone::new();
        let preparing = async {
            may_start.set(prepare_for_pods(&it, &cell).await);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            applied = cell.apply(cell.plan.rendered.objects(), &may_start) => cell.applied.set(applied),
            () = preparing => {}
        }
    });
}

/// Waits until the cell's pods may start: their images are loaded, and the nodes accept pods. If pods exist earlier, the
/// scheduler and the kubelets fail to start them, and retry after one or more seconds. If another cell may reuse the
/// cluster, reads the state of the nodes before the pods start.
async fn prepare_for_pods(work: &Work, tenant: &Tenant) -> Result<(), Failure> {
    work.loaded.reached().await?;
    let kube = tenant.kube.reached().await?;
    let mut changes = kube.view.changes();
    while !ready::accept_pods(&kube.view.snapshot(), &work.nodes()) {
        if changes.changed().await.is_err() {
            // The cell has ended, so its view of the cluster no longer changes.
            return Ok(());
        }
    }
    if work.may_be_reused() {
        node_state::read_before(work, tenant).await?;
    }
    Ok(())
}

/// Gives the cell access to the cluster as soon as the API server responds.
pub(super) fn enter(work: &Arc<Work>, tenant: &Arc<Tenant>) {
    let (it, cell) = (Arc::clone(work), Arc::clone(tenant));
    tenant.spawn(async move {
        match it.access.reached().await {
            Ok(access) => cell.enter(access, true),
            Err(failure) => cell.kube.set(Err(failure)),
        }
    });
}
