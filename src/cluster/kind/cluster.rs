//! One cell's cluster, as the suite sees it: every phase waits for its part of the work that began at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;

use super::provider::Shared;
use super::work::{self, Work};
use super::{destroy, diagnostics, keep};
use crate::cluster::kubernetes::{Tenant, ready};
use crate::cluster::milestone::Milestone;
use crate::cluster::{CellPlan, Cleared, Cluster, Diagnostic, NodeName, Restarted};
use crate::deadline::Deadline;
use crate::event::{CellFacts, Evidence, Failure, LogTail, Step, Symptom};

/// A kind cluster.
pub(super) struct KindCluster {
    work: Arc<Work>,
    tenant: Arc<Tenant>,
    has_begun: AtomicBool,
}

impl KindCluster {
    pub(super) fn new(shared: Arc<Shared>, plan: Arc<CellPlan>) -> Self {
        let tenant = Tenant::new(plan, Arc::new(Milestone::new()));
        Self {
            work: Arc::new(Work::new(shared, &tenant)),
            tenant: Arc::new(tenant),
            has_begun: AtomicBool::new(false),
        }
    }

    /// Ends what runs here for the cell.
    async fn end(&self, deadline: &Deadline) {
        let ending = async { tokio::join!(self.tenant.leave(deadline), self.work.end(deadline)) };
        self.tenant.steps.measure("stop", ending).await;
    }
}

#[async_trait]
impl Cluster for KindCluster {
    fn begin(&self) {
        if !self.has_begun.swap(true, Ordering::SeqCst) {
            work::begin(&self.work, &self.tenant);
            work::move_in(&self.work, &self.tenant);
        }
    }

    async fn up(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let (tenant, nodes) = (&self.tenant, &self.work.nodes);
        let kube = tenant.kube(deadline).await?;
        let looking = tenant.watch(deadline, |snapshot| ready::core(snapshot, nodes));
        let mut evidence = tenant.steps.measure("nodes and DNS ready", looking).await?;
        let missing = Failure::new(Symptom::ClusterNotUp, "kind was not done in time");
        tenant.reach(&self.work.created, deadline, missing).await?;
        let asked = tenant.plan.cell.kubernetes;
        evidence.push(ready::version(asked, &kube.server_version)?);
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
        self.tenant.agents_ready(&self.work.nodes, deadline).await
    }

    async fn connect(&self, deadline: &Deadline) -> Result<SocketAddr, Failure> {
        self.tenant.connect(deadline).await
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
        let tuning = work.tuning.lock().unwrap_or_else(PoisonError::into_inner);
        CellFacts {
            server_version: work.access.get().map(|access| access.server_version),
            nodes: work.nodes.iter().map(ToString::to_string).collect(),
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

    async fn log_tails(&self, node: Option<&NodeName>, lines: usize) -> Vec<LogTail> {
        self.tenant.log_tails(node, lines).await
    }

    async fn restart(&self, nodes: &[NodeName], deadline: &Deadline) -> Result<Restarted, Failure> {
        self.tenant.restart(nodes, deadline).await
    }

    async fn diagnostics(&self, deadline: &Deadline) -> Vec<Diagnostic> {
        diagnostics::collect(&self.work, &self.tenant, deadline).await
    }

    async fn destroy(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        self.end(deadline).await;
        Ok(destroy::destroy(&self.work, deadline).await?.into())
    }

    async fn keep(&self, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        self.end(deadline).await;
        keep::keep(&self.work, &self.tenant.plan)
    }

    fn steps(&self) -> Vec<Step> {
        self.tenant.steps.steps()
    }
}
