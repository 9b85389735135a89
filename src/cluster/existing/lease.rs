//! One cell at a time in the whole cluster, from whichever machine: a Lease, which the API server grants to one holder
//! and which expires when its holder dies.
//!
//! The agent uses a port of its node, and definitions are cluster-scoped, so two cells at once would conflict.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use super::marks::{OWNER, RUN};
use crate::cluster::kubernetes::unusable;
use crate::deadline::Deadline;
use crate::event::{Failure, Symptom};
use crate::machine::{StateFolder, is_dead};

/// The namespace of the Lease.
pub(super) const NAMESPACE: &str = "default";
/// Its name.
pub(super) const NAME: &str = "e2e-matrix";

/// How long the Lease is valid without renewal.
const HELD: Duration = Duration::from_secs(60);
/// How often its holder renews it.
const RENEWED: Duration = Duration::from_secs(15);
/// How often a waiting cell checks it.
const LOOK: Duration = Duration::from_secs(1);

/// The Lease, as used by one cell.
#[derive(Clone)]
pub(super) struct CellLease {
    api: Api<Lease>,
    /// The cell's namespace, which is unique.
    holder: String,
    run: String,
}

/// What a waiting cell has seen of the holder.
struct Seen {
    version: Option<String>,
    since: Instant,
}

impl CellLease {
    pub(super) fn new(client: &Client, holder: &str, run: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), NAMESPACE),
            holder: holder.to_owned(),
            run: run.to_owned(),
        }
    }

    /// Takes the Lease when all earlier cells have released it or have died.
    pub(super) async fn take(
        &self,
        state: &StateFolder,
        deadline: &Deadline,
    ) -> Result<(), Failure> {
        let mut seen = Seen {
            version: None,
            since: Instant::now(),
        };
        loop {
            let found = self
                .api
                .get_opt(NAME)
                .await
                .map_err(|error| unusable(&error))?;
            let taken = match found {
                None => self.create().await?,
                Some(lease) if self.is_free(&lease, state, &mut seen) => {
                    self.replace(lease).await?
                }
                Some(lease) if deadline.has_passed() => return Err(in_use(&lease)),
                Some(_) => {
                    deadline.within(LOOK).passed().await;
                    false
                }
            };
            if taken {
                return Ok(());
            }
        }
    }

    /// Whether the Lease is ours already, or its holder doesn't renew it. Other machines' clocks aren't trusted: what
    /// counts is how long the Lease hasn't changed.
    fn is_free(&self, lease: &Lease, state: &StateFolder, seen: &mut Seen) -> bool {
        if seen.version != lease.metadata.resource_version {
            seen.version.clone_from(&lease.metadata.resource_version);
            seen.since = Instant::now();
        }
        let run = lease.labels().get(RUN);
        let is_of_the_dead = run.is_some_and(|run| is_dead(state, run).unwrap_or(false));
        holder(lease) == self.holder || is_of_the_dead || seen.since.elapsed() > HELD
    }

    async fn create(&self) -> Result<bool, Failure> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                labels: Some(self.labels()),
                ..ObjectMeta::default()
            },
            spec: Some(self.spec()),
        };
        settled(self.api.create(&PostParams::default(), &lease).await)
    }

    /// Replaces the Lease that was read, unless another process was faster: its resource version ensures that.
    async fn replace(&self, mut lease: Lease) -> Result<bool, Failure> {
        lease.spec = Some(self.spec());
        lease.metadata.labels = Some(self.labels());
        lease.metadata.managed_fields = None;
        settled(self.api.replace(NAME, &PostParams::default(), &lease).await)
    }

    fn spec(&self) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: i32::try_from(HELD.as_secs()).ok(),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }
    }

    fn labels(&self) -> std::collections::BTreeMap<String, String> {
        [(OWNER.0, OWNER.1), (RUN, &self.run)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// Renews the Lease until this is dropped. Returns only if the Lease is lost.
    pub(super) async fn hold(&self) -> Failure {
        let mut beats = tokio::time::interval(RENEWED);
        let mut last = Instant::now();
        loop {
            beats.tick().await;
            let renewed = match self.api.get_opt(NAME).await {
                Ok(Some(lease)) if holder(&lease) == self.holder => self.replace(lease).await,
                Ok(_) => return lost(),
                Err(error) => Err(unusable(&error)),
            };
            match renewed {
                Ok(_) => last = Instant::now(),
                // If the API server doesn't respond for a moment, nothing is lost.
                Err(_) if last.elapsed() < HELD => {}
                Err(failure) => return failure,
            }
        }
    }

    /// Releases the Lease by `deadline` if it is still ours.
    pub(super) async fn release(&self, deadline: &Deadline) -> Result<(), Failure> {
        let released = deadline.run(self.delete()).await;
        released.unwrap_or_else(|timed_out| {
            let message = format!(
                "the release of the Lease {NAMESPACE}/{NAME} {timed_out}; it expires {} s after its last renewal",
                HELD.as_secs()
            );
            Err(Failure::new(Symptom::ApiServerGone, message))
        })
    }

    async fn delete(&self) -> Result<(), Failure> {
        let failed = |error: kube::Error| unusable(&error);
        let Some(lease) = self.api.get_opt(NAME).await.map_err(failed)? else {
            return Ok(());
        };
        if holder(&lease) != self.holder {
            return Ok(());
        }
        let parameters = DeleteParams::default().preconditions(Preconditions {
            resource_version: lease.metadata.resource_version,
            uid: lease.metadata.uid,
        });
        match self.api.delete(NAME, &parameters).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// Whether the change was made, and no other process was faster.
fn settled<T>(result: Result<T, kube::Error>) -> Result<bool, Failure> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(unusable(&error)),
    }
}

fn in_use(lease: &Lease) -> Failure {
    let message = format!("the cluster is in use: {} has its turn", holder(lease));
    Failure::new(Symptom::ClusterNotUp, message).with_remedy(
        "wait for that run's end, or give this one more time with `--phase-timeout cluster=30m`",
    )
}

fn lost() -> Failure {
    let message = "another run has taken the cluster: this one gave no sign of life for too long";
    Failure::new(Symptom::ApiServerGone, message)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::deadline::RunClock;

    #[tokio::test]
    async fn a_release_that_hangs_ends_with_its_deadline() {
        let hangs = tower::service_fn(async |_| {
            std::future::pending::<Result<http::Response<kube::client::Body>, Infallible>>().await
        });
        let turn = CellLease::new(&Client::new(hangs, "default"), "cell", "run");
        let deadline = RunClock::new().deadline(Duration::from_millis(50));
        let releasing = tokio::time::timeout(HELD, turn.release(&deadline));
        let failure = releasing.await.expect("the release ends").unwrap_err();
        let expected = "the release of the Lease default/e2e-matrix";
        assert!(failure.message.starts_with(expected), "{failure}");
        assert!(failure.message.contains("expires 60 s after"), "{failure}");
    }
}
