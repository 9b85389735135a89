//! Makes a template: kind creates a cluster that no cell has used, which is frozen and then deleted.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::freeze;
use super::image::{self, Facts};
use super::template::{self, Template, prune};
use crate::cluster::CellPlan;
use crate::cluster::kind::destroy;
use crate::cluster::kind::work::{self, Source, Work};
use crate::cluster::kubernetes::{Tenant, ready};
use crate::cluster::milestone::Milestone;
use crate::deadline::Deadline;
use crate::event::{Failure, Symptom};

/// How long it may take to create the cluster and to freeze it.
const MAKING: Duration = Duration::from_secs(180);
/// How long the deletion of the cluster may take.
const DELETING: Duration = Duration::from_secs(60);
/// How long making a template may take, which is how long a command that only prepares clusters waits for another one.
pub(in crate::cluster::kind) const LONGEST: Duration = MAKING.saturating_add(DELETING);

/// How many characters of the template's id are in the names of its nodes.
const ID_LENGTH: usize = 8;

/// Makes the template `id` of the cluster that `work` plans, from the node image `image`. Whatever happens, its cluster
/// is deleted.
pub(super) fn make(
    cell: Arc<Work>,
    image: String,
    id: String,
    stop: CancellationToken,
) -> BoxFuture<'static, Result<Template, Failure>> {
    // Boxed, because creating a cluster may involve making a template.
    async move {
        let plan = Arc::new(plan(&cell.plan, &id)?);
        let clock = plan.clock.clone();
        let tenant = Arc::new(Tenant::new(plan, Arc::new(Milestone::new())));
        let work = Arc::new(Work::new(
            Arc::clone(&cell.shared),
            &tenant,
            Source::Kind(None),
        ));
        let making = Box::pin(build(&work, &tenant, &image, &id, clock.deadline(MAKING)));
        let making = cell.steps.measure("template", making);
        let made = stop.run_until_cancelled(making).await.unwrap_or_else(|| {
            let message = "making the template was interrupted";
            Err(Failure::new(Symptom::ClusterNotUp, message))
        });
        let deadline = clock.deadline(DELETING);
        if made.is_err() {
            // Some of its images may exist. If they can't be removed, the next attempt does it.
            let docker = cell.shared.docker().await?;
            drop(deadline.run(template::remove(docker, &id)).await);
        }
        tenant.leave(&deadline).await;
        work.end(&deadline).await;
        let deleted = destroy::destroy(&work, &cell.steps, &deadline).await;
        match (made, deleted) {
            (made, Ok(_)) => made,
            (Ok(_), Err(failure)) => Err(failure),
            (Err(cause), Err(failure)) => {
                // Usually a consequence. The cluster stays in the ledger.
                tracing::warn!(%failure, "the cluster of the template was not deleted");
                Err(cause)
            }
        }
    }
    .boxed()
}

/// The plan of the template's cluster: that of a cell which deploys nothing.
fn plan(cell: &CellPlan, id: &str) -> Result<CellPlan, Failure> {
    let run: String = cell.ledger.run().chars().collect();
    let name = format!("prepared-{}-{run}", &id[..ID_LENGTH.min(id.len())]);
    cell.in_cluster(&name, "template")
}

async fn build(
    work: &Arc<Work>,
    tenant: &Arc<Tenant>,
    image: &str,
    id: &str,
    deadline: Deadline,
) -> Result<Template, Failure> {
    // Images that an interrupted attempt left behind would lose their names to the new ones, and stay in the engine.
    template::remove(work.shared.docker().await?, id).await?;
    work::begin(work, tenant);
    let (it, watching) = (Arc::clone(work), Arc::clone(tenant));
    tenant.spawn(async move {
        match it.access.reached().await {
            Ok(access) => watching.enter(access, true),
            Err(failure) => watching.kube.set(Err(failure)),
        }
    });
    let late = |what: &str| {
        let message = format!("the cluster of the template was not {what} in time");
        Failure::new(Symptom::ClusterNotUp, message)
    };
    let nodes = work.nodes();
    tenant
        .watch(&deadline, |snapshot| ready::core(snapshot, &nodes))
        .await?;
    tenant
        .reach(&work.created, &deadline, late("created"))
        .await?;
    tenant
        .reach(&work.loaded, &deadline, late("loaded"))
        .await?;
    let kube = tenant.kube(&deadline).await?;
    let creation = tenant.steps.elapsed();
    // An open watch would keep the API server from ending.
    tenant.leave(&deadline).await;
    let freezing = async {
        let revision = freeze::freeze(work, &kube.client, id).await?;
        let facts = Facts {
            revision,
            server_version: kube.server_version.clone(),
            creation,
        };
        image::commit(work, image, id, &facts).await
    };
    let frozen = work.steps.measure("freeze", freezing);
    let template = tokio::select! {
        frozen = deadline.run(frozen) => frozen.map_err(|_| late("frozen"))??,
        failure = work.lost.failed() => return Err(failure),
    };
    let docker = work.shared.docker().await?;
    template.touch(&work.shared.options.state);
    prune(docker, &work.shared.options.state, id).await?;
    Ok(template)
}
