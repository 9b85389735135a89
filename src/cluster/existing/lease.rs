//! The Lease that allows only one cell at a time in a cluster, even if runs on several machines use the cluster. The
//! Lease has one holder, and expires if the holder dies.
//!
//! An agent uses a port of its node, and custom resource definitions are cluster-scoped, so two cells at once would
//! conflict.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use super::labels::{OWNER, RUN};
use crate::deadline::Deadline;
use crate::event::{Failure, Symptom};
use crate::machine::{StateFolder, is_dead};

/// The namespace of the Lease.
pub(super) const NAMESPACE: &str = "default";
/// The name of the Lease.
pub(super) const NAME: &str = "e2e-matrix";

/// How long the Lease is valid without renewal.
const LEASE_DURATION: Duration = Duration::from_secs(60);
/// How often the holder renews the Lease.
const RENEW_INTERVAL: Duration = Duration::from_secs(15);
/// How often a waiting cell checks the Lease.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The Lease, as used by one cell.
#[derive(Clone)]
pub(super) struct CellLease {
    api: Api<Lease>,
    /// The cell's namespace, which is unique.
    holder: String,
    run: String,
}

/// The last version of the Lease that a waiting cell has seen.
struct Seen {
    version: Option<String>,
    /// When this version was first seen.
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

    /// Acquires the Lease as soon as its holder has released it or died.
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
            match self.api.get_opt(NAME).await? {
                Some(lease) if !self.is_free(&lease, state, &mut seen) => {
                    if deadline.has_passed() {
                        return Err(in_use(&lease));
                    }
                    deadline.within(POLL_INTERVAL).passed().await;
                }
                found => {
                    if self.write(found.unwrap_or_default()).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether the cell can acquire the Lease: the cell already holds it, or its holder is dead or no longer renews it.
    /// Other machines' clocks aren't trusted, so the Lease expires when this cell has seen no change for
    /// [`LEASE_DURATION`].
    fn is_free(&self, lease: &Lease, state: &StateFolder, seen: &mut Seen) -> bool {
        if seen.version != lease.metadata.resource_version {
            seen.version.clone_from(&lease.metadata.resource_version);
            seen.since = Instant::now();
        }
        let run = lease.labels().get(RUN);
        let is_run_dead = run.is_some_and(|run| is_dead(state, run).unwrap_or(false));
        holder(lease) == self.holder || is_run_dead || seen.since.elapsed() > LEASE_DURATION
    }

    /// Replaces the Lease that was read, or creates it. Returns `false` if another process changed the Lease first,
    /// which the API server detects by the resource version.
    async fn write(&self, mut lease: Lease) -> Result<bool, Failure> {
        let is_new = lease.metadata.resource_version.is_none();
        let labels = [(OWNER.0, OWNER.1), (RUN, &self.run)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        lease.metadata.name = Some(NAME.to_owned());
        lease.metadata.labels = Some(labels.into());
        lease.metadata.managed_fields = None;
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        });
        let parameters = PostParams::default();
        succeeded(if is_new {
            self.api.create(&parameters, &lease).await
        } else {
            self.api.replace(NAME, &parameters, &lease).await
        })
    }

    /// Renews the Lease until this future is dropped. Returns only if the Lease is lost or can't be renewed in time.
    pub(super) async fn hold(&self) -> Failure {
        let mut ticks = tokio::time::interval(RENEW_INTERVAL);
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            let renewed = match self.api.get_opt(NAME).await {
                Ok(Some(lease)) if holder(&lease) == self.holder => self.write(lease).await,
                Ok(_) => return lost(),
                Err(error) => Err(error.into()),
            };
            match renewed {
                Ok(_) => last = Instant::now(),
                // The API server may be briefly unavailable.
                Err(_) if last.elapsed() < LEASE_DURATION => {}
                Err(failure) => return failure,
            }
        }
    }

    /// Releases the Lease if the cell still holds it. Fails when `deadline` passes.
    pub(super) async fn release(&self, deadline: &Deadline) -> Result<(), Failure> {
        let released = deadline.run(self.delete()).await;
        released.unwrap_or_else(|timed_out| {
            let message = format!(
                "releasing the Lease {NAMESPACE}/{NAME} {timed_out}; it expires {} s after its last renewal",
                LEASE_DURATION.as_secs()
            );
            Err(Failure::new(Symptom::ApiServerGone, message))
        })
    }

    async fn delete(&self) -> Result<(), Failure> {
        let found = self.api.get_opt(NAME).await?;
        let Some(lease) = found.filter(|lease| holder(lease) == self.holder) else {
            return Ok(());
        };
        let parameters = DeleteParams::default().preconditions(Preconditions {
            resource_version: lease.metadata.resource_version,
            uid: lease.metadata.uid,
        });
        succeeded(self.api.delete(NAME, &parameters).await).map(drop)
    }
}

fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// Whether the request succeeded; `false` if another process changed the Lease first.
fn succeeded<T>(result: Result<T, kube::Error>) -> Result<bool, Failure> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn in_use(lease: &Lease) -> Failure {
    let holder = holder(lease);
    let message = format!("the cluster is in use by another cell, in the namespace {holder}");
    Failure::new(Symptom::ClusterNotUp, message).with_remedy(
        "wait until that run has ended, or make this run wait longer with `--phase-timeout cluster=30m`",
    )
}

fn lost() -> Failure {
    let message =
        "another run has taken over the cluster, because this one did not renew its Lease in time";
    Failure::new(Symptom::ApiServerGone, message)
        .with_remedy("check the connection to the API server, and run the cell again")
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
        let releasing = tokio::time::timeout(LEASE_DURATION, turn.release(&deadline));
        let failure = releasing.await.expect("the release ends").unwrap_err();
        let expected = "releasing the Lease default/e2e-matrix";
        assert!(failure.message.starts_with(expected), "{failure}");
        assert!(failure.message.contains("expires 60 s after"), "{failure}");
    }
}
