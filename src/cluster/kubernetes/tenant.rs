//! A cell in a cluster: everything that the phases need from the cell's namespace. All providers with real clusters use
//! it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::try_join;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::api::ListParams;
use tokio::sync::SetOnce;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::access::request;
use super::health::{Stage, suspicions};
use super::liveness::{self, Liveness, Unprobed};
use super::terminations::Terminations;
use super::wait::{Progress, Suspicion, until};
use super::watch::{Snapshot, View};
use super::{Access, Kube, apply, forward, logs, probes, ready, restart};
use crate::cluster::milestone::Milestone;
use crate::cluster::{CellPlan, Forward, LONGEST_FIRST_PROBE, LONGEST_RECOVERY, NodeName, StepLog};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::excerpt::Log;
use crate::manifest::Object;

/// A deadline that never passes in practice, for waits that end for another reason.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long to wait for the metrics of the kubelets.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);

/// A cell's part of a cluster.
pub(crate) struct Tenant {
    pub(crate) plan: Arc<CellPlan>,
    pub(crate) steps: Arc<StepLog>,
    /// Reached when the API server responds and is watched.
    pub(crate) kube: Milestone<Arc<Kube>>,
    /// Reached when every object is applied.
    pub(crate) applied: Milestone<Vec<Evidence>>,
    /// Fails when the cluster can no longer come up or has gone down.
    pub(crate) lost: Arc<Milestone<()>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Set when the mock was made reachable.
    forward: OnceLock<Forward>,
    /// Set when the agents have become ready.
    terminations: OnceLock<Terminations>,
}

impl Tenant {
    /// A cell that has no objects in its cluster yet. The caller fails `lost` when the cluster is lost.
    pub(crate) fn new(plan: Arc<CellPlan>, lost: Arc<Milestone<()>>) -> Self {
        Self {
            steps: Arc::new(StepLog::new(&plan.clock)),
            plan,
            kube: Milestone::new(),
            applied: Milestone::new(),
            lost,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            forward: OnceLock::new(),
            terminations: OnceLock::new(),
        }
    }

    /// The same cell in another cluster, in which it has no objects yet.
    pub(crate) fn elsewhere(&self) -> Self {
        Self {
            steps: Arc::clone(&self.steps),
            ..Self::new(Arc::clone(&self.plan), Arc::new(Milestone::new()))
        }
    }

    /// Spawns a task that ends when `work` is done or the cell leaves the cluster.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let work = self.stop.clone().run_until_cancelled_owned(work);
        self.tasks.spawn(work.in_current_span());
    }

    /// Starts to watch the cluster. With `system`, also watches the cluster's core pods.
    pub(crate) fn enter(&self, access: Access, system: bool) {
        let view = View::start(self, &access.client, system);
        self.kube.set(Ok(Arc::new(Kube {
            client: access.client,
            server_version: access.server_version,
            view,
        })));
    }

    /// Applies `objects`. Applies objects that create pods only after `pods_may_start` is reached.
    pub(crate) async fn apply(
        &self,
        objects: impl Iterator<Item = &Object> + Send,
        pods_may_start: &Milestone<()>,
    ) -> Result<Vec<Evidence>, Failure> {
        let kube = self.kube.reached().await?;
        let applying = apply::all(&kube.client, objects, pods_may_start);
        self.steps.measure("apply", applying).await
    }

    /// Waits for `milestone`. Fails if the cluster is lost, or with `timeout` when the deadline passes.
    pub(crate) async fn reach<T: Clone>(
        &self,
        milestone: &Milestone<T>,
        deadline: &Deadline,
        timeout: Failure,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            reached = milestone.reached() => reached,
            failure = self.lost.failed() => Err(failure),
            () = deadline.passed() => Err(timeout),
        }
    }

    /// Waits until the API server responds and is watched.
    pub(crate) async fn kube(&self, deadline: &Deadline) -> Result<Arc<Kube>, Failure> {
        let message = "the API server did not respond in time";
        let timeout = Failure::new(Symptom::ClusterNotUp, message);
        self.reach(&self.kube, deadline, timeout).await
    }

    /// Watches the cluster until `condition` is done.
    pub(crate) async fn watch(
        &self,
        deadline: &Deadline,
        condition: impl Fn(&Snapshot) -> Progress + Send,
    ) -> Result<Vec<Evidence>, Failure> {
        let kube = self.kube(deadline).await?;
        tokio::select! {
            biased;
            result = until(&kube.view, deadline, condition) => result,
            failure = self.lost.failed() => Err(failure),
        }
    }

    fn stage(&self) -> Stage {
        if self.terminations.get().is_some() {
            Stage::AgentsReady
        } else if self.applied.get().is_some() {
            Stage::Applied
        } else {
            Stage::Applying
        }
    }

    /// Waits until every object is applied.
    pub(crate) async fn manifests(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let message = "the objects were not applied in time";
        let timeout = Failure::new(Symptom::ApiServerGone, message);
        self.reach(&self.applied, deadline, timeout).await
    }

    /// Waits until the mock's Deployment is available.
    pub(crate) async fn mock_available(
        &self,
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        let waiting = self.watch(deadline, |snapshot| ready::mock(snapshot, self.stage()));
        self.steps.measure("mock available", waiting).await
    }

    /// Waits until an agent is ready on each of `nodes`.
    pub(crate) async fn agents_ready(
        &self,
        nodes: &[NodeName],
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        let waiting = self.watch(deadline, |snapshot| {
            let progress = ready::agents(snapshot, nodes, self.stage());
            if matches!(progress, Progress::Done(_)) {
                let allowed = self.plan.cell.variant.expect.restarts();
                self.terminations
                    .get_or_init(|| Terminations::new(snapshot, allowed));
            }
            progress
        });
        self.steps.measure("agents ready", waiting).await
    }

    /// The failure if an agent's process terminated after readiness.
    fn terminated(&self, snapshot: &Snapshot) -> Option<Failure> {
        self.terminations.get()?.failure(snapshot)
    }

    /// The terminations of agents' processes before readiness.
    pub(crate) fn early_ends(&self) -> Vec<String> {
        let terminations = self.terminations.get();
        terminations.map_or_else(Vec::new, Terminations::early_ends)
    }

    /// The final check of the agents: see [`crate::cluster::Cluster::final_check`].
    pub(crate) async fn final_check(&self, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        let unchecked = self.await_first_probes(deadline).await?;
        let unchecked = unchecked.iter().map(Unprobed::sentence);
        let (mut warnings, before) = self.check(deadline).await?;
        if let Some(cycle) = before.iter().filter_map(Liveness::failing_cycle).max() {
            let wait = cycle.min(LONGEST_RECOVERY);
            deadline.within(wait).passed().await;
            let (latest, after) = self.check(deadline).await?;
            if let Some(failure) = liveness::unhealthy(&before, &after) {
                return Err(failure);
            }
            warnings = latest;
            warnings.extend(after.iter().filter_map(Liveness::sentence));
        }
        warnings.extend(unchecked);
        Ok(warnings)
    }

    /// Waits until each agent's liveness probe has run once. Doesn't wait for agents for which this would take too
    /// long, and returns them.
    async fn await_first_probes(&self, deadline: &Deadline) -> Result<Vec<Unprobed>, Failure> {
        let Some(terminations) = self.terminations.get() else {
            return Ok(Vec::new());
        };
        let kube = self.kube(deadline).await?;
        let snapshot = kube.view.snapshot();
        // The rest of the time is for failing probes to recover.
        let patience = (deadline.remaining() / 2).min(LONGEST_FIRST_PROBE);
        let unprobed = terminations.unprobed(&snapshot, Instant::now()).into_iter();
        let (awaited, late): (Vec<_>, Vec<_>) =
            unprobed.partition(|probe| probe.within <= patience);
        if let Some(longest) = awaited.iter().map(|probe| probe.within).max() {
            // Without permission to read the metrics, this waits until each probe must have run.
            let succeeded = probes::all_succeeded(&kube.client, &awaited);
            let _ = deadline.within(longest).run(succeeded).await;
        }
        Ok(late)
    }

    /// The warnings in the agents' events, and the state of the agents' liveness probes. Requests the events directly,
    /// because a watch may lag. Fails if an agent has terminated.
    async fn check(&self, deadline: &Deadline) -> Result<(Vec<String>, Vec<Liveness>), Failure> {
        let kube = self.kube(deadline).await?;
        let (client, namespace) = (&kube.client, &self.plan.namespace);
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let events: Api<Event> = Api::namespaced(client.clone(), namespace);
        let all = ListParams::default();
        let listing = || try_join(pods.list(&all), events.list(&all));
        let what = "list the agents' pods and events before cleanup";
        let (pods, events) = request(what, deadline, listing).await?;
        let snapshot = Snapshot {
            pods: pods.into_iter().map(Arc::new).collect(),
            events: events.into_iter().map(Arc::new).collect(),
            ..kube.view.snapshot()
        };
        if let Some(failure) = self.terminated(&snapshot) {
            return Err(failure);
        }
        let mut probes = liveness::states(&snapshot);
        let counting = probes::count_failures(client, &mut probes);
        // If a kubelet doesn't respond in time, only its events count.
        let _ = deadline.within(METRICS_TIMEOUT).run(counting).await;
        Ok((liveness::warnings(&snapshot), probes))
    }

    /// Makes the mock reachable from the host.
    pub(crate) async fn connect(&self, deadline: &Deadline) -> Result<SocketAddr, Failure> {
        let kube = self.kube(deadline).await?;
        if let Some(forward) = self.forward.get() {
            return Ok(forward.address());
        }
        let forward = forward::open(&self.plan, kube)?;
        Ok(self.forward.get_or_init(|| forward).address())
    }

    /// The address of the mock, if it was made reachable.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.forward.get().map(Forward::address)
    }

    /// Returns only if there is a failure that waiting can't fix.
    pub(crate) async fn broken(&self) -> Failure {
        let watching = async {
            let Ok(kube) = self.kube.reached().await else {
                return std::future::pending().await;
            };
            let never = self.plan.clock.deadline(A_YEAR);
            let condition = |snapshot: &Snapshot| {
                let terminated = self.terminated(snapshot);
                let terminated =
                    terminated.map(|failure| Suspicion::certain("agent terminated", failure));
                let mut found: Vec<_> = terminated.into_iter().collect();
                found.extend(suspicions(snapshot, self.stage()));
                found.extend(ready::mock_restarted(snapshot));
                let ended = Failure::new(Symptom::ApiServerGone, "the watch has ended");
                Progress::Pending(ended, found)
            };
            match until(&kube.view, &never, condition).await {
                Ok(_) => std::future::pending().await,
                Err(failure) => failure,
            }
        };
        tokio::select! {
            failure = self.lost.failed() => failure,
            failure = watching => failure,
        }
    }

    /// The logs of all agents, or of the agent on `node`, and of the mock.
    pub(crate) async fn logs(&self, node: Option<&NodeName>) -> Vec<Log> {
        match self.kube.get() {
            Some(kube) => logs::all(&self.plan, &kube, node).await,
            None => Vec::new(),
        }
    }

    /// Deletes the agents of `nodes`, and waits until new ones are ready: see [`crate::cluster::Cluster::restart`].
    pub(crate) async fn restart(
        &self,
        nodes: &[NodeName],
        ended: &SetOnce<()>,
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        let kube = self.kube(deadline).await?;
        if let Some(terminations) = self.terminations.get() {
            terminations.forget(nodes);
        }
        let restarting = restart::restart(&self.plan, &kube, nodes, ended, deadline);
        let evidence = self.steps.measure("restart", restarting).await?;
        if let Some(terminations) = self.terminations.get() {
            terminations.track(&kube.view.snapshot());
        }
        Ok(evidence)
    }

    /// Stops everything that runs in this process for the cell: its forward, watches and tasks. The cell's objects stay
    /// in the cluster.
    pub(crate) async fn leave(&self, deadline: &Deadline) {
        self.stop.cancel();
        if let Some(forward) = self.forward.get() {
            forward.close().await;
        }
        drop(self.plan.take_listener());
        self.stop_tasks(deadline).await;
    }

    /// Stops the watches and tasks.
    pub(crate) async fn stop_tasks(&self, deadline: &Deadline) {
        self.stop.cancel();
        self.tasks.close();
        if let Err(timed_out) = deadline.run(self.tasks.wait()).await {
            tracing::warn!(%timed_out, "the cell's tasks did not end");
        }
    }
}
