//! The cluster of one cell, as the suite sees it. Each phase waits for its part of the work that is done in the
//! background.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::SetOnce;

use super::create::KUBECONFIG;
use super::prepared::{self, Origin, Template};
use super::provider::KindContext;
use super::reuse::Parked;
use super::wipe::Leftovers;
use super::work::{self, Source, Work};
use super::{destroy, diagnostics, keep, tuning, wipe};
use crate::cluster::kubernetes::watch::Snapshot;
use crate::cluster::kubernetes::{Tenant, ready};
use crate::cluster::milestone::Milestone;
use crate::cluster::{CellPlan, Cleared, Cluster, Diagnostic, NodeName, StepLog};
use crate::deadline::Deadline;
use crate::event::{CellFacts, Evidence, Failure, Symptom};
use crate::excerpt::Log;
use crate::matrix::CellId;

/// A kind cluster.
pub(super) struct KindCluster {
    steps: Arc<StepLog>,
    /// Replaced if the cell starts over in another cluster.
    tenancy: Mutex<Arc<Tenancy>>,
}

/// A cell in a cluster.
struct Tenancy {
    work: Arc<Work>,
    tenant: Arc<Tenant>,
    /// The cell that used the cluster before, if any.
    after: Option<CellId>,
}

impl KindCluster {
    /// The cluster for the cell of `plan`: the cluster `parked` by another cell, or else a new one.
    pub(super) fn new(
        shared: Arc<KindContext>,
        plan: Arc<CellPlan>,
        parked: Option<Parked>,
    ) -> Self {
        let tenancy = if let Some(Parked { work, after, .. }) = parked {
            Tenancy {
                tenant: Arc::new(Tenant::new(plan, Arc::clone(&work.lost))),
                work,
                after: Some(after),
            }
        } else {
            let tenant = Tenant::new(plan, Arc::new(Milestone::new()));
            Tenancy::fresh(shared, tenant, Source::Any)
        };
        Self {
            steps: Arc::clone(&tenancy.tenant.steps),
            tenancy: Mutex::new(Arc::new(tenancy)),
        }
    }

    fn tenancy(&self) -> Arc<Tenancy> {
        Arc::clone(&self.tenancy.lock())
    }

    /// Deletes a clone that could not be verified, and its template. The cell then starts over in a cluster that kind
    /// creates.
    async fn start_over(
        &self,
        template: &Template,
        failure: &Failure,
        deadline: &Deadline,
    ) -> Result<Arc<Tenancy>, Failure> {
        let tenancy = self.tenancy();
        tenancy.tenant.stop_tasks(deadline).await;
        tenancy.work.end(deadline).await;
        destroy::destroy(&tenancy.work, &self.steps, deadline).await?;
        let shared = Arc::clone(&tenancy.work.shared);
        prepared::discard(&shared, template).await?;
        let id = &template.id;
        let why = format!(
            "the template {id} was deleted, because its clone could not be verified: {failure}"
        );
        let tenant = tenancy.tenant.elsewhere();
        let fresh = Arc::new(Tenancy::fresh(shared, tenant, Source::Kind(Some(why))));
        *self.tenancy.lock() = Arc::clone(&fresh);
        fresh.begin();
        Ok(fresh)
    }
}

impl Tenancy {
    fn fresh(shared: Arc<KindContext>, tenant: Tenant, source: Source) -> Self {
        Self {
            work: Arc::new(Work::new(shared, &tenant, source)),
            tenant: Arc::new(tenant),
            after: None,
        }
    }

    fn begin(&self) {
        if self.after.is_none() {
            work::begin(&self.work, &self.tenant);
        }
        work::start_cell(&self.work, &self.tenant);
    }

    /// The template, if the cluster is a clone that no cell has verified yet.
    fn unverified(&self) -> Option<Arc<Template>> {
        match self.work.origin.get() {
            Some(Origin::Prepared(template)) if self.after.is_none() => Some(Arc::clone(template)),
            Some(_) | None => None,
        }
    }

    /// Waits until the cluster is up.
    async fn up(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let late = || Failure::new(Symptom::ClusterNotUp, "kind did not finish in time");
        let (work, tenant) = (&self.work, &self.tenant);
        tenant.reach(&work.begun, deadline, late()).await?;
        if let Some(template) = self.unverified() {
            tenant.reach(&work.created, deadline, late()).await?;
            let limit = deadline.within(prepared::VERIFICATION_TIMEOUT);
            let verifying = self.verified(&template, &limit);
            return tenant.steps.measure("clone verified", verifying).await;
        }
        let nodes = work.nodes();
        let watching = tenant.watch(deadline, |snapshot| ready::core(snapshot, &nodes));
        let watching = tenant.steps.measure("nodes and DNS ready", watching);
        let evidence = watching.await?;
        tenant.reach(&work.created, deadline, late()).await?;
        Ok(evidence)
    }

    /// Waits until checks have shown that the cluster is up and that it is a clone of `template`. The cluster's
    /// containers must exist.
    async fn verified(
        &self,
        template: &Template,
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        let late = || Failure::new(Symptom::ClusterNotUp, "the cluster was not up in time");
        let (work, tenant) = (&self.work, &self.tenant);
        let limit = deadline.within(prepared::RESPONSE_TIMEOUT);
        let kube = tenant.kube(&limit).await?;
        let addresses = prepared::addresses(work, template).await?;
        let check = |snapshot: &Snapshot| prepared::check(snapshot, template, &addresses);
        let evidence = tokio::select! {
            biased;
            evidence = tenant.watch(deadline, check) => evidence?,
            never = prepared::retry_pods(&kube) => match never {},
        };
        let verifying = deadline.run(prepared::verify(template, &kube));
        verifying.await.unwrap_or_else(|_| Err(late()))?;
        // If an image can't be imported, the template may be the cause.
        tenant.reach(&work.loaded, deadline, late()).await?;
        Ok(evidence)
    }

    /// Removes the cell from the cluster, and keeps the cluster for the next cell.
    async fn park(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let plan = &self.tenant.plan;
        let fingerprint = self.work.fingerprint.get();
        let (Some(fingerprint), Some(())) = (fingerprint, self.work.created.get()) else {
            return Err(Failure::new(Symptom::ClusterNotUp, "it did not come up"));
        };
        self.tenant.leave(deadline).await;
        self.work.wait_for_deletion(deadline).await?;
        let leftovers = Leftovers::of(plan);
        let wiping = wipe::wipe(&self.work, &leftovers, deadline);
        let evidence = self.tenant.steps.measure("wipe", wiping).await?;
        let parked = Parked {
            work: Arc::clone(&self.work),
            fingerprint: fingerprint.clone(),
            after: plan.cell.id.clone(),
        };
        self.work.shared.pool.park(&plan.cell, parked);
        Ok(evidence)
    }

    /// How the cluster was created.
    fn origin(&self) -> String {
        match (&self.after, self.work.origin.get()) {
            (Some(cell), Some(Origin::Kept(_))) => {
                format!("reused after {cell}, kept by an earlier run")
            }
            (Some(cell), _) => format!("reused after {cell}"),
            (None, Some(Origin::Prepared(template))) => {
                format!("prepared, from template {}", template.id)
            }
            (None, Some(Origin::Fresh(Some(why)))) => format!("fresh; {why}"),
            (None, Some(Origin::Fresh(None) | Origin::Kept(_)) | None) => "fresh".to_owned(),
        }
    }

    /// Stops everything that this process runs for the cell.
    async fn end(&self, deadline: &Deadline) {
        let ending = async { tokio::join!(self.tenant.leave(deadline), self.work.end(deadline)) };
        self.tenant.steps.measure("stop", ending).await;
    }
}

#[async_trait]
impl Cluster for KindCluster {
    fn begin(&self) {
        self.tenancy().begin();
    }

    async fn up(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let mut tenancy = self.tenancy();
        let mut seen = tenancy.up(deadline).await;
        if let (Err(failure), Some(template)) = (&seen, tenancy.unverified())
            && !deadline.remaining().is_zero()
        {
            tenancy = self.start_over(&template, failure, deadline).await?;
            seen = tenancy.up(deadline).await;
        }
        let mut evidence = seen?;
        let (work, tenant) = (&tenancy.work, &tenancy.tenant);
        let kube = tenant.kube(deadline).await?;
        let asked = tenant.plan.cell.kubernetes;
        evidence.push(ready::version(asked, &kube.server_version)?);
        let expected = "fresh, verified or wiped clean";
        evidence.push(Evidence::new("cluster", expected, tenancy.origin(), true));
        let mut tally = work.shared.pool.tally();
        if tenancy.after.is_some() {
            tally.reused += 1;
            tally.saved += work.creation_time.get().copied().unwrap_or_default();
            return Ok(evidence);
        }
        tally.created += 1;
        let took = *work.creation_time.get_or_init(|| self.steps.elapsed());
        match work.origin.get() {
            Some(Origin::Prepared(template)) => {
                tally.cloned += 1;
                tally.saved_by_clones += template.creation().saturating_sub(took);
            }
            Some(Origin::Fresh(Some(why))) => {
                let cell = &tenant.plan.cell.id;
                tally.rejections.push(format!("{cell}: {why}"));
            }
            Some(Origin::Fresh(None) | Origin::Kept(_)) | None => {}
        }
        Ok(evidence)
    }

    async fn images(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let message = "not all images were loaded on every node in time";
        let late = Failure::new(Symptom::ImageLoadFailed, message);
        let Tenancy { work, tenant, .. } = &*self.tenancy();
        tenant.reach(&work.loaded, deadline, late).await
    }

    async fn manifests(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.tenancy().tenant.manifests(deadline).await
    }

    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.tenancy().tenant.mock_available(deadline).await
    }

    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let Tenancy { work, tenant, .. } = &*self.tenancy();
        tenant.agents_ready(&work.nodes(), deadline).await
    }

    fn early_ends(&self) -> Vec<String> {
        self.tenancy().tenant.early_ends()
    }

    async fn final_check(&self, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        let tenancy = self.tenancy();
        // If the previous cell's namespace can't be deleted, its leftovers might have influenced this cell.
        tenancy.work.wait_for_deletion(deadline).await?;
        tenancy.tenant.final_check(deadline).await
    }

    async fn connect(&self, deadline: &Deadline) -> Result<SocketAddr, Failure> {
        self.tenancy().tenant.connect(deadline).await
    }

    async fn kubeconfig(&self) -> Result<Option<OsString>, Failure> {
        Ok(Some(self.tenancy().work.file(KUBECONFIG).into()))
    }

    fn nodes(&self) -> Vec<NodeName> {
        self.tenancy().work.nodes()
    }

    fn facts(&self) -> CellFacts {
        let Tenancy { work, tenant, .. } = &*self.tenancy();
        let image = |name: &str| {
            let loaded = work.loaded.get().unwrap_or_default();
            let subject = format!("image {name}");
            let row = loaded.iter().find(|row| row.subject == subject);
            row.map_or_else(|| name.to_owned(), |row| format!("{name} ({})", row.seen))
        };
        let names = work.shared.names.of(&work.plan.cell);
        let nodes = work.nodes();
        // A clone's nodes are named after the cluster that was frozen, so the prefix is taken from a node.
        let first = nodes.first().map(NodeName::as_str);
        let prefix = first.and_then(|name| name.strip_suffix("control-plane"));
        let is_tuned = work.shared.options.fast_setup && work.begun.get().is_some();
        let tuning = is_tuned.then(|| tuning::names(&work.plan.cell));
        CellFacts {
            server_version: work.access.get().map(|access| access.server_version),
            nodes: nodes.iter().map(ToString::to_string).collect(),
            node_prefix: prefix.map(str::to_owned),
            agent: image(&names.agent),
            mock: image(&names.mock),
            address: tenant.address().map(|address| address.to_string()),
            tuning: tuning.unwrap_or_default(),
        }
    }

    async fn broken(&self) -> Failure {
        self.tenancy().tenant.broken().await
    }

    async fn logs(&self, node: Option<&NodeName>) -> Vec<Log> {
        self.tenancy().tenant.logs(node).await
    }

    async fn restart(
        &self,
        nodes: &[NodeName],
        ended: &SetOnce<()>,
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        self.tenancy().tenant.restart(nodes, ended, deadline).await
    }

    async fn diagnostics(&self, deadline: &Deadline) -> Vec<Diagnostic> {
        let Tenancy { work, tenant, .. } = &*self.tenancy();
        diagnostics::collect(work, tenant, deadline).await
    }

    async fn destroy(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        let tenancy = self.tenancy();
        tenancy.end(deadline).await;
        let destroyed = destroy::destroy(&tenancy.work, &self.steps, deadline).await;
        Ok(destroyed?.into())
    }

    async fn hand_over(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        let tenancy = self.tenancy();
        let (shared, cell) = (&tenancy.work.shared, &tenancy.tenant.plan.cell);
        if !shared.options.reuse || !shared.pool.has_next(cell) {
            return self.destroy(deadline).await;
        }
        // The rest of the time is for deleting the cluster if it can't be parked.
        let budget = deadline.within(deadline.remaining() * 2 / 3);
        match tenancy.park(&budget).await {
            Ok(evidence) => Ok(evidence.into()),
            Err(failure) => {
                let why = format!("the cluster of {} was not reused: {failure}", cell.id);
                shared.pool.rejected(why);
                self.destroy(deadline).await
            }
        }
    }

    async fn keep(&self, is_sound: bool, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        let tenancy = self.tenancy();
        let is_sound = is_sound && tenancy.work.wait_for_deletion(deadline).await.is_ok();
        tenancy.end(deadline).await;
        keep::keep(&tenancy.work, &tenancy.tenant.plan, is_sound)
    }

    fn steps(&self) -> &StepLog {
        &self.steps
    }
}
