//! Prepared clusters: a cluster that kind has created once is frozen into a *template*, one image per node. A clone of
//! a template needs neither kubeadm nor an import of images, so it is up much sooner than a fresh cluster.
//!
//! A clone is verified, not trusted: it counts as up only if each node and the cluster's DNS have reported their state
//! since the clone was started. Otherwise, the clone and its template are deleted, and the cell starts over in a
//! cluster that kind creates.
//!
//! This module doesn't depend on a particular node image, network plugin or workload. It depends only on how kind
//! creates nodes, and on the kind of a pod's owner.

mod build;
mod clone;
mod freeze;
mod image;
mod template;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::claim::Kept;
use super::fingerprint::Fingerprint;
use super::node_image::NodeImage;
use super::provider::KindContext;
use super::work::{Source, Work};
use crate::deadline::Deadline;
use crate::event::{Failure, Symptom};
use crate::machine::{Lock, StateFolder};
use crate::matrix::Prepared;

pub(super) use build::TIMEOUT;
pub(super) use clone::clone;
pub(super) use template::Template;
pub use template::USED;
pub(super) use verify::{
    RESPONSE_TIMEOUT, VERIFICATION_TIMEOUT, addresses, check, retry_pods, verify,
};

/// A template is created only if at least this many further cells of the run can use it. Creating a template takes
/// about as long as three clones save.
const MIN_FURTHER_CELLS: usize = 3;

/// How long a cell waits for another cell or run that is creating its template. On an idle machine, creating a template
/// takes a fifth of this time.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a run knows about each template that its cells can use, by the template's id.
#[derive(Default)]
pub(super) struct Templates(Mutex<BTreeMap<String, Arc<Mutex<State>>>>);

/// What the run knows about a template.
#[derive(Default)]
enum State {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It exists.
    Exists(Arc<Template>),
    /// It can't be created, or its clones don't work.
    Unusable,
}

/// How a cluster was created.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// By kind. Contains the reason if a template should have been used but wasn't.
    Fresh(Option<String>),
    /// As a clone of this template.
    Prepared(Arc<Template>),
    /// By an earlier run, which kept it.
    Kept(Box<Kept>),
}

/// The template for the cluster that `work` plans, if the template exists or is worth creating. Sets the origin of the
/// cluster.
pub(super) async fn template(
    work: &Arc<Work>,
    image: &NodeImage,
    stop: &CancellationToken,
) -> Option<Arc<Template>> {
    let found = match &work.source {
        Source::Any if work.shared.options.prepared == Prepared::Auto => {
            let obtained = obtain(work, image, stop).await;
            obtained.map_err(|failure| format!("no template was used: {}", failure.message))
        }
        Source::Any | Source::Kind(None) => Ok(None),
        Source::Kind(Some(why)) => Err(why.clone()),
    };
    let (template, origin) = match found {
        Ok(Some(template)) => (Some(Arc::clone(&template)), Origin::Prepared(template)),
        Ok(None) => (None, Origin::Fresh(None)),
        Err(why) => (None, Origin::Fresh(Some(why))),
    };
    work.origin.get_or_init(|| origin);
    template
}

/// Deletes a template whose clone could not be verified, and keeps other cells of the run from using or creating it.
pub(super) async fn discard(shared: &KindContext, template: &Template) -> Result<(), Failure> {
    let state = shared.templates.state(&template.id).await;
    *state.lock().await = State::Unusable;
    template.delete(shared.docker().await?).await
}

/// The id of the template for the cluster that `work` plans: a digest of everything that the cluster is created from,
/// except the images of the agent and the mock. These images are imported if the template doesn't contain them.
async fn id(work: &Work, image: &NodeImage) -> Result<String, Failure> {
    let fingerprint = Fingerprint::of(&work.shared, &work.plan.cell, image).await?;
    Ok(fingerprint.template())
}

/// Creates the template for the cluster that `work` plans, unless the template exists. Also returns whether the
/// template is new. If several runs call this at once, one of them creates the template, and the others wait for it,
/// but not longer than `patience`.
pub(super) async fn prepare(
    work: &Arc<Work>,
    image: &NodeImage,
    stop: &CancellationToken,
    patience: Duration,
) -> Result<(Arc<Template>, bool), Failure> {
    let shared = &work.shared;
    let docker = shared.docker().await?;
    let id = id(work, image).await?;
    let patience = work.plan.clock.deadline(patience);
    let lock = lock(&shared.options.state, &id, stop, &patience).await?;
    let found = Template::find(docker, &id).await?;
    let is_new = found.is_none();
    let template = match found {
        Some(template) => template,
        None => build::build(Arc::clone(work), image.name.clone(), id, stop.clone()).await?,
    };
    lock.remove()?;
    Ok((Arc::new(template), is_new))
}

/// Takes the lock of the template `id`. Fails if another run is still creating the template when `patience` passes, or
/// if `stop` is cancelled.
async fn lock(
    state: &StateFolder,
    id: &str,
    stop: &CancellationToken,
    patience: &Deadline,
) -> Result<Lock, Failure> {
    let path = state.lock(&format!("template-{id}"));
    let waiting = patience.run(Lock::take(&path));
    let Some(taken) = stop.run_until_cancelled(waiting).await else {
        return Err(interrupted());
    };
    let lock = taken.map_err(|timed_out| {
        let message =
            format!("another run is creating the template {id}, and waiting for it {timed_out}");
        Failure::new(Symptom::ClusterNotUp, message)
    })?;
    Ok(lock?)
}

fn interrupted() -> Failure {
    let message = "creating the template was interrupted";
    Failure::new(Symptom::ClusterNotUp, message)
}

/// The existing template, or a new one if that pays off. One cell of the run finds or creates it, and the others wait
/// for that cell.
async fn obtain(
    work: &Arc<Work>,
    image: &NodeImage,
    stop: &CancellationToken,
) -> Result<Option<Arc<Template>>, Failure> {
    let docker = work.shared.docker().await?;
    let id = id(work, image).await?;
    let state = work.shared.templates.state(&id).await;
    let patience = work.plan.clock.deadline(PATIENCE);
    let waiting = patience.run(state.lock());
    let Some(Ok(mut state)) = stop.run_until_cancelled(waiting).await else {
        return Ok(None);
    };
    match &*state {
        State::Exists(template) => return Ok(Some(Arc::clone(template))),
        State::Unusable => return Ok(None),
        State::Unknown => {}
    }
    let template = if let Some(template) = Template::find(docker, &id).await? {
        Arc::new(template)
    } else {
        // With `--reuse`, further cells with the same agent share this cluster.
        let further = work.shared.pool.to_come(&work.plan.cell);
        if work.shared.options.reuse || further < MIN_FURTHER_CELLS {
            return Ok(None);
        }
        // If creating the template fails, the other cells of this run don't retry it.
        *state = State::Unusable;
        prepare(work, image, stop, PATIENCE).await?.0
    };
    *state = State::Exists(Arc::clone(&template));
    Ok(Some(template))
}

impl Templates {
    async fn state(&self, id: &str) -> Arc<Mutex<State>> {
        let mut states = self.0.lock().await;
        Arc::clone(states.entry(id.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::RunClock;

    #[tokio::test]
    async fn waiting_for_a_template_that_another_run_creates_ends_when_the_run_is_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let path = state.lock("template-id");
        let held = Lock::try_take(&path).unwrap().unwrap();
        let (stop, patience) = (CancellationToken::new(), RunClock::new().deadline(PATIENCE));
        let interrupting = async {
            tokio::task::yield_now().await;
            stop.cancel();
        };
        let (locked, ()) = tokio::join!(lock(&state, "id", &stop, &patience), interrupting);
        let failure = locked.unwrap_err();
        assert!(failure.message.contains("interrupted"), "{failure}");
        drop(held);
        // When the lock is free again, the thread that waited for it has ended.
        drop(Lock::take(&path).await.unwrap());
    }
}
