//! Builds a template: kind creates a cluster that no cell uses, which is frozen and then deleted.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::template::{self, Template, prune};
use super::{freeze, image, interrupted};
use crate::cluster::kind::destroy;
use crate::cluster::kind::provider::DELETION_TIMEOUT;
use crate::cluster::kind::work::{self, Source, Work};
use crate::cluster::kubernetes::{Tenant, ready};
use crate::cluster::milestone::Milestone;
use crate::deadline::Deadline;
use crate::event::{Failure, Symptom};

/// How long creating and freezing the cluster may take.
const BUILD_TIMEOUT: Duration = Duration::from_secs(180);
/// How long building a template may take in total. A command that only prepares clusters waits this long for another
/// process that is building the same template.
pub(in crate::cluster::kind) const TIMEOUT: Duration =
    BUILD_TIMEOUT.saturating_add(DELETION_TIMEOUT);

/// How many characters of the template's id are in the names of its nodes.
const ID_LENGTH: usize = 8;

/// Builds the template `id` for the cluster that `cell` plans, from the node image `image`. The template's cluster is
/// deleted afterwards, even if building fails.
pub(super) fn build(
    cell: Arc<Work>,
    image: String,
    id: String,
    stop: CancellationToken,
) -> BoxFuture<'static, Result<Template, Failure>> {
    // Boxed, because creating a cluster may involve building a template, which involves creating a cluster.
    async move {
        let run = cell.plan.ledger.run();
        let name = format!("prepared-{}-{run}", &id[..ID_LENGTH.min(id.len())]);
        let plan = Arc::new(cell.plan.in_cluster(&name, "template")?);
        let clock = plan.clock.clone();
        let tenant = Arc::new(Tenant::new(plan, Arc::new(Milestone::new())));
        let shared = Arc::clone(&cell.shared);
        let work = Arc::new(Work::new(shared, &tenant, Source::Kind(None)));
        let limit = clock.deadline(BUILD_TIMEOUT);
        let building = Box::pin(create(&work, &tenant, &image, &id, limit));
        let building = cell.steps.measure("template", building);
        let built = stop.run_until_cancelled(building).await;
        let built = built.unwrap_or_else(|| Err(interrupted()));
        let deadline = clock.deadline(DELETION_TIMEOUT);
        if built.is_err() {
            // Some of the template's images may exist. If they can't be deleted now, the next attempt deletes them.
            let docker = cell.shared.docker().await?;
            drop(deadline.run(template::delete(docker, &id)).await);
        }
        tenant.leave(&deadline).await;
        work.end(&deadline).await;
        let deleted = destroy::destroy(&work, &cell.steps, &deadline).await;
        match (built, deleted) {
            (built, Ok(_)) => built,
            (Ok(_), Err(failure)) => Err(failure),
            (Err(cause), Err(failure)) => {
                // This failure is usually a consequence of `cause`. The cluster stays in the ledger.
                tracing::warn!(%failure, "failed to delete the cluster of the template");
                Err(cause)
            }
        }
    }
    .boxed()
}

/// Creates the cluster and freezes it.
async fn create(
    work: &Arc<Work>,
    tenant: &Arc<Tenant>,
    image: &str,
    id: &str,
    deadline: Deadline,
) -> Result<Template, Failure> {
    // Otherwise, images that an interrupted attempt left behind would lose their names to the new images, and stay in
    // the engine.
    template::delete(work.shared.docker().await?, id).await?;
    work::begin(work, tenant);
    work::enter(work, tenant);
    let late = |what: &str| {
        let message = format!("{what} in time");
        Failure::new(Symptom::ClusterNotUp, message)
    };
    let nodes = work.nodes();
    let watching = tenant.watch(&deadline, |snapshot| ready::core(snapshot, &nodes));
    watching.await?;
    let not_created = late("the cluster of the template was not created");
    tenant.reach(&work.created, &deadline, not_created).await?;
    let not_loaded = late("not all images were loaded on the template's nodes");
    tenant.reach(&work.loaded, &deadline, not_loaded).await?;
    let kube = tenant.kube(&deadline).await?;
    let creation_time = tenant.steps.elapsed();
    // The API server would not exit while a watch is open.
    tenant.leave(&deadline).await;
    let freezing = async {
        let revision = freeze::freeze(work, &kube.client, id).await?;
        image::commit(work, image, id, revision, creation_time).await
    };
    let frozen = work.steps.measure("freeze", freezing);
    let not_frozen = |_| late("the cluster of the template was not frozen");
    let template = tokio::select! {
        frozen = deadline.run(frozen) => frozen.map_err(not_frozen)??,
        failure = work.lost.failed() => return Err(failure),
    };
    let docker = work.shared.docker().await?;
    template.touch(&work.shared.options.state);
    prune(docker, &work.shared.options.state, id).await?;
    Ok(template)
}
