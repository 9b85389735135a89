//! The cluster of one cell, as the suite sees it: each phase waits for its part of the work that started in the
//! background.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;

use super::create::Files;
use super::prepared::Origin;
use super::provider::KindContext;
use super::reuse::Parked;
use super::work::{self, Work};
use super::{destroy, diagnostics, keep, wipe};
use crate::cluster::kubernetes::{Tenant, ready};
use crate::cluster::milestone::Milestone;
use crate::cluster::{CellPlan, Cleared, Cluster, Diagnostic, NodeName, StepLog};
use crate::deadline::Deadline;
use crate::event::{CellFacts, Evidence, Failure, Symptom};
use crate::excerpt::Log;
use crate::matrix::CellId;

/// A kind cluster.
pub(super) struct KindCluster {
    work: Arc<Work>,
    tenant: Arc<Tenant>,
    /// The cell that used the cluster before.
    after: Option<CellId>,
    has_begun: AtomicBool,
}

impl KindCluster {
    /// A new cluster for the cell.
    pub(super) fn fresh(shared: Arc<KindContext>, plan: Arc<CellPlan>) -> Self {
        let tenant = Tenant::new(plan, Arc::new(Milestone::new()));
        Self {
            work: Arc::new(Work::new(shared, &tenant)),
            tenant: Arc::new(tenant),
            after: None,
            has_begun: AtomicBool::new(false),
        }
    }

    /// A cluster of another cell, proven clean.
    pub(super) fn reused(parked: Parked, plan: Arc<CellPlan>) -> Self {
        let tenant = Tenant::new(plan, Arc::clone(&parked.work.lost));
        Self {
            work: parked.work,
            tenant: Arc::new(tenant),
            after: Some(parked.after),
            has_begun: AtomicBool::new(false),
        }
    }

    /// Removes the cell from the cluster, and leaves the cluster for the next cell. Returns the reason if that isn't
    /// possible.
    async fn park(&self, deadline: &Deadline) -> Result<Vec<Evidence>, String> {
        let plan = &self.tenant.plan;
        let fingerprint = self.work.fingerprint.get();
        let (Some(fingerprint), Some(())) = (fingerprint, self.work.created.get()) else {
            return Err("it did not come up".to_owned());
        };
        self.tenant.leave(deadline).await;
        let start = plan.clock.elapsed();
        let wiping = Box::pin(wipe::wipe(&self.work, plan));
        let wiping = self.tenant.steps.measure("wipe", wiping);
        let wiped = tokio::select! {
            wiped = deadline.run(wiping) => wiped,
            failure = self.work.lost.failed() => return Err(failure.message),
        };
        let evidence = wiped
            .map_err(|timed_out| format!("the wiping {timed_out}"))?
            .map_err(|failure| failure.message)?;
        if let Some(left) = evidence.iter().find(|row| !row.holds) {
            return Err(format!("{}: {}", left.subject, left.seen));
        }
        let parked = Parked {
            work: Arc::clone(&self.work),
            fingerprint: fingerprint.clone(),
            after: plan.cell.id.clone(),
        };
        let took = plan.clock.elapsed().saturating_sub(start);
        self.work.shared.pool.park(&plan.cell, parked, took);
        Ok(evidence)
    }

    /// How the cluster was created.
    fn origin(&self) -> String {
        match (&self.after, self.work.origin()) {
            (Some(cell), _) => format!("reused after {cell}"),
            (None, Some(Origin::Prepared(template))) => template.title(),
            (None, Some(Origin::Fresh(Some(why)))) => format!("fresh; {why}"),
            (None, Some(Origin::Fresh(None)) | None) => "fresh".to_owned(),
        }
    }

    /// Stops everything that runs here for the cell.
    async fn end(&self, deadline: &Deadline) {
        let ending = async { tokio::join!(self.tenant.leave(deadline), self.work.end(deadline)) };
        self.tenant.steps.measure("stop", ending).await;
    }
}

#[async_trait]
impl Cluster for KindCluster {
    fn begin(&self) {
        if !self.has_begun.swap(true, Ordering::SeqCst) {
            if self.after.is_none() {
                work::begin(&self.work, &self.tenant);
            }
            work::move_in(&self.work, &self.tenant);
        }
    }

    async fn up(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let tenant = &self.tenant;
        let kube = tenant.kube(deadline).await?;
        let nodes = self.work.nodes();
        let looking = tenant.watch(deadline, |snapshot| ready::core(snapshot, &nodes));
        let mut evidence = tenant.steps.measure("nodes and DNS ready", looking).await?;
        let missing = Failure::new(Symptom::ClusterNotUp, "kind was not done in time");
        tenant.reach(&self.work.created, deadline, missing).await?;
        let asked = tenant.plan.cell.kubernetes;
        evidence.push(ready::version(asked, &kube.server_version)?);
        let pool = &self.work.shared.pool;
        evidence.push(Evidence {
            node: None,
            subject: "cluster".to_owned(),
            expected: "fresh, verified or proven clean".to_owned(),
            seen: self.origin(),
            holds: true,
        });
        if self.after.is_some() {
            pool.reused(self.work.making.get().copied().unwrap_or_default());
        } else {
            let took = *self.work.making.get_or_init(|| tenant.steps.elapsed());
            pool.made();
            match self.work.origin() {
                Some(Origin::Prepared(template)) => {
                    pool.cloned(template.creation().saturating_sub(took));
                }
                Some(Origin::Fresh(Some(why))) => {
                    pool.refused(format!("{}: {why}", tenant.plan.cell.id));
                }
                Some(Origin::Fresh(None)) | None => {}
            }
        }
        Ok(evidence)
    }

    async fn images(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let message = "the images were not on every node in time";
        let missing = Failure::new(Symptom::ImageLoadFailed, message);
        self.tenant
            .reach(&self.work.loaded, deadline, missing)
            .await
    }

    async fn manifests(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.tenant.manifests(deadline).await
    }

    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.tenant.mock_available(deadline).await
    }

    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.tenant.agents_ready(&self.work.nodes(), deadline).await
    }

    fn early_ends(&self) -> Vec<String> {
        self.tenant.early_ends()
    }

    async fn last_look(&self, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        self.tenant.last_look(deadline).await
    }

    async fn connect(&self, deadline: &Deadline) -> Result<SocketAddr, Failure> {
        self.tenant.connect(deadline).await
    }

    async fn kubeconfig(&self) -> Result<Option<OsString>, Failure> {
        Ok(Some(Files::of(&self.work).kubeconfig().into()))
    }

    fn nodes(&self) -> Vec<NodeName> {
        self.work.nodes()
    }

    fn facts(&self) -> CellFacts {
        let work = &self.work;
        let image = |name: &str| {
            let loaded = work.loaded.get().unwrap_or_default();
            let subject = format!("image {name}");
            let row = loaded.iter().find(|row| row.subject == subject);
            row.map_or_else(|| name.to_owned(), |row| format!("{name} ({})", row.seen))
        };
        let names = work.shared.names.of(&work.plan.cell);
        let tuning = work.tuning.lock().unwrap_or_else(PoisonError::into_inner);
        CellFacts {
            server_version: work.access.get().map(|access| access.server_version),
            nodes: work.nodes().iter().map(ToString::to_string).collect(),
            agent: image(&names.agent),
            mock: image(&names.mock),
            address: self.tenant.address().map(|address| address.to_string()),
            tuning: tuning.clone(),
        }
    }

    async fn broken(&self) -> Failure {
        self.tenant.broken().await
    }

    async fn agent_log(&self, node: &NodeName) -> Result<String, Failure> {
        self.tenant.agent_log(node).await
    }

    async fn logs(&self, node: Option<&NodeName>) -> Vec<Log> {
        self.tenant.logs(node).await
    }

    async fn restart(
        &self,
        nodes: &[NodeName],
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        self.tenant.restart(nodes, deadline).await
    }

    async fn diagnostics(&self, deadline: &Deadline) -> Vec<Diagnostic> {
        diagnostics::collect(&self.work, &self.tenant, deadline).await
    }

    async fn destroy(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        self.end(deadline).await;
        let destroyed = destroy::destroy(&self.work, &self.tenant.steps, deadline).await;
        Ok(destroyed?.into())
    }

    async fn hand_over(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        let (shared, cell) = (&self.work.shared, &self.tenant.plan.cell);
        if !shared.options.reuse || !shared.pool.has_next(cell) {
            return self.destroy(deadline).await;
        }
        // In any case, there must be enough time to delete the cluster.
        let budget = deadline.within(deadline.remaining() * 2 / 3);
        match self.park(&budget).await {
            Ok(evidence) => Ok(evidence.into()),
            Err(why) => {
                shared
                    .pool
                    .refused(format!("the cluster of {} was not reused: {why}", cell.id));
                self.destroy(deadline).await
            }
        }
    }

    async fn keep(&self, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        self.end(deadline).await;
        keep::keep(&self.work, &self.tenant.plan)
    }

    fn steps(&self) -> &StepLog {
        &self.tenant.steps
    }
}
