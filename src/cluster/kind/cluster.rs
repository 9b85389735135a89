//! One cell's cluster, as the suite sees it: every phase waits for its part of the work that began at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Kube;
use super::milestone::Milestone;
use super::provider::Shared;
use super::wait::{Look, until};
use super::work::{self, Work};
use super::{destroy, diagnostics, forward, logs, ready, restart};
use crate::cluster::{CellPlan, Cluster, Diagnostic, Forward, NodeName, Restarted};
use crate::deadline::Deadline;
use crate::event::{CellFacts, Evidence, Failure, LogTail, Step, Symptom};

/// Longer than any run, for a wait that something else ends.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A kind cluster.
pub(super) struct KindCluster {
    work: Arc<Work>,
    tasks: TaskTracker,
    stop: CancellationToken,
    has_begun: AtomicBool,
    forward: Mutex<Option<Forward>>,
}

impl KindCluster {
    pub(super) fn new(shared: Arc<Shared>, plan: Arc<CellPlan>) -> Self {
        Self {
            work: Arc::new(Work::new(shared, plan)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            has_begun: AtomicBool::new(false),
            forward: Mutex::new(None),
        }
    }

    /// Waits for `milestone`, as long as there is a cluster and time.
    async fn reach<T: Clone>(
        &self,
        milestone: &Milestone<T>,
        deadline: &Deadline,
        missing: impl FnOnce() -> Failure,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            reached = milestone.reached() => reached,
            failure = self.work.lost.failed() => Err(failure),
            () = deadline.passed() => Err(missing()),
        }
    }

    async fn kube(&self, deadline: &Deadline) -> Result<Arc<Kube>, Failure> {
        let missing = || {
            Failure::new(
                Symptom::ClusterNotUp,
                "the API server did not answer in time",
            )
        };
        self.reach(&self.work.kube, deadline, missing).await
    }

    /// Looks at the cluster until it is as `look` wants it.
    async fn watch(
        &self,
        deadline: &Deadline,
        look: impl Fn(&super::watch::Snapshot) -> Look + Send,
    ) -> Result<Vec<Evidence>, Failure> {
        let kube = self.kube(deadline).await?;
        tokio::select! {
            biased;
            seen = until(&kube.view, deadline, look) => seen,
            failure = self.work.lost.failed() => Err(failure),
        }
    }

    fn is_applied(&self) -> bool {
        self.work.applied.get().is_some()
    }
}

#[async_trait]
impl Cluster for KindCluster {
    fn begin(&self) {
        if !self.has_begun.swap(true, Ordering::SeqCst) {
            work::begin(&self.work, &self.tasks, &self.stop);
        }
    }

    async fn up(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let missing = || Failure::new(Symptom::ClusterNotUp, "kind was not done in time");
        let kube = self.kube(deadline).await?;
        let nodes = &self.work.nodes;
        let looking = self.watch(deadline, |snapshot| ready::core(snapshot, nodes));
        let mut evidence = self
            .work
            .steps
            .measure("nodes and DNS ready", looking)
            .await?;
        self.reach(&self.work.created, deadline, missing).await?;
        evidence.push(ready::version(
            self.work.plan.cell.kubernetes,
            &kube.server_version,
        )?);
        Ok(evidence)
    }

    async fn images(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let missing = || {
            Failure::new(
                Symptom::ImageLoadFailed,
                "the images were not on every node in time",
            )
        };
        self.reach(&self.work.loaded, deadline, missing).await
    }

    async fn manifests(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let missing = || {
            Failure::new(
                Symptom::ApiServerGone,
                "the objects were not applied in time",
            )
        };
        self.reach(&self.work.applied, deadline, missing).await
    }

    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let applied = self.is_applied();
        let looking = self.watch(deadline, |snapshot| ready::mock(snapshot, applied));
        self.work.steps.measure("mock available", looking).await
    }

    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let (applied, nodes) = (self.is_applied(), &self.work.nodes);
        let looking = self.watch(deadline, |snapshot| ready::agents(snapshot, nodes, applied));
        self.work.steps.measure("agents ready", looking).await
    }

    async fn connect(&self, deadline: &Deadline) -> Result<SocketAddr, Failure> {
        let kube = self.kube(deadline).await?;
        let mut slot = self.forward.lock().await;
        let forward = match slot.take() {
            Some(forward) => forward,
            None => forward::open(&self.work, kube)?,
        };
        let address = forward.address();
        *slot = Some(forward);
        Ok(address)
    }

    fn nodes(&self) -> Vec<NodeName> {
        self.work.nodes.clone()
    }

    fn facts(&self) -> CellFacts {
        let work = &self.work;
        let image = |name: &str| {
            let loaded = work.loaded.get().unwrap_or_default();
            let subject = format!("image {name}");
            let row = loaded.iter().find(|row| row.subject == subject);
            row.map_or_else(|| name.to_owned(), |row| format!("{name} ({})", row.seen))
        };
        let names = &work.shared.names;
        CellFacts {
            server_version: work.kube.get().map(|kube| kube.server_version.clone()),
            nodes: work.nodes.iter().map(ToString::to_string).collect(),
            agent: image(&names.agent),
            mock: image(&names.mock),
            address: self
                .forward
                .try_lock()
                .ok()
                .and_then(|slot| slot.as_ref().map(|forward| forward.address().to_string())),
            tuning: work
                .tuning
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    async fn broken(&self) -> Failure {
        let watching = async {
            let Ok(kube) = self.work.kube.reached().await else {
                return std::future::pending().await;
            };
            let never = self.work.plan.clock.deadline(A_YEAR);
            let look =
                |snapshot: &super::watch::Snapshot| ready::never(snapshot, self.is_applied());
            match until(&kube.view, &never, look).await {
                Ok(_) => std::future::pending().await,
                Err(failure) => failure,
            }
        };
        tokio::select! {
            failure = self.work.lost.failed() => failure,
            failure = watching => failure,
        }
    }

    async fn agent_log(&self, node: &NodeName) -> Result<String, Failure> {
        logs::whole(&self.work, node).await
    }

    async fn log_tails(&self, node: Option<&NodeName>, lines: usize) -> Vec<LogTail> {
        logs::tails(&self.work, node, lines).await
    }

    async fn restart(&self, nodes: &[NodeName], deadline: &Deadline) -> Result<Restarted, Failure> {
        let kube = self.kube(deadline).await?;
        let restarting = async {
            tokio::select! {
                biased;
                restarted = restart::restart(&self.work, &kube, nodes, deadline) => restarted,
                failure = self.work.lost.failed() => Err(failure),
            }
        };
        self.work.steps.measure("restart", restarting).await
    }

    async fn diagnostics(&self, deadline: &Deadline) -> Vec<Diagnostic> {
        diagnostics::collect(&self.work, deadline).await
    }

    async fn destroy(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.stop.cancel();
        if let Some(forward) = self.forward.lock().await.take() {
            forward.close().await;
        }
        drop(self.work.plan.take_listener());
        self.tasks.close();
        let ending = self.work.steps.measure("stop", self.tasks.wait());
        if let Err(timed_out) = deadline.run(ending).await {
            tracing::warn!(%timed_out, "the cluster's tasks did not end");
        }
        destroy::destroy(&self.work, deadline).await
    }

    fn steps(&self) -> Vec<Step> {
        self.work.steps.steps()
    }
}
