//! The Docker network that all clusters share: made once, before the first cluster, as kind itself would make it, and removed by the
//! last run that uses it. One that we did not make carries no label of ours, and is never touched.
//!
//! Two clusters that each find it missing would make two of one name, and then neither works.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest};
use bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
};

use super::destroy::{engine_failed, unkept};
use super::nodes::is_missing;
use crate::event::{Failure, Symptom};
use crate::machine::{Ledger, Lock, LockError, Resource, StateFolder};

/// The name that kind has for it.
pub(super) const NETWORK: &str = "kind";

/// The subnet that kind derives from the network's name at its first attempt: a hash of `kind` in `fc00::/8`.
const SUBNET: &str = "fc00:f853:ccd:e793::/64";

const MTU: &str = "com.docker.network.driver.mtu";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";

/// The label of a network that was made here; its value is the run that made it.
const LABEL: &str = "e2e-matrix.network";

/// Held while the network is made or removed.
const LOCK: &str = "network";
/// Shared by every run that uses the network.
pub(crate) const USERS: &str = "network-users";

/// A run's use of the network. While it lives, no other run removes it.
#[derive(Debug)]
pub(super) struct Use {
    _lock: Lock,
    is_ours: bool,
}

impl Use {
    /// What the ledger has to know of it: nothing, where the network is not ours to remove.
    fn resource(&self) -> Option<Resource> {
        self.is_ours.then(resource)
    }
}

fn resource() -> Resource {
    let name = NETWORK.to_owned();
    Resource::Network { name }
}

/// Makes the network where there is none. Safe to call from many processes at once.
pub(super) async fn ensure(
    docker: &Docker,
    state: &StateFolder,
    ledger: &Ledger,
) -> Result<Use, Failure> {
    let locks = state.locks();
    let _lock = Lock::take(&locks.join(LOCK)).await.map_err(locked)?;
    let users = Lock::share(&locks.join(USERS)).await.map_err(locked)?;
    let found = find(docker).await.map_err(|error| failed(&error))?;
    let usage = Use {
        _lock: users,
        is_ours: found.as_ref().is_none_or(is_labelled),
    };
    if let Some(resource) = usage.resource() {
        ledger.plan(resource).map_err(|error| unkept(&error))?;
    }
    if found.is_none() {
        create(docker, ledger.run()).await?;
    }
    Ok(usage)
}

/// Ends the use of the network, and removes it where it is ours and this was the last one.
pub(super) async fn leave(
    docker: &Docker,
    state: &StateFolder,
    ledger: &Ledger,
    usage: Use,
) -> Result<(), Failure> {
    let resource = usage.resource();
    drop(usage);
    remove_unused(docker, state).await?;
    // Where others use it, it is theirs from now on: the last of them removes it, and it carries our label.
    let gone = resource.map_or(Ok(()), |resource| ledger.gone(resource));
    gone.map_err(|error| unkept(&error))
}

/// What became of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// There is none of ours.
    Absent,
    /// A run or a container uses it.
    Used,
    /// It was removed.
    Removed,
}

/// Whether the network is ours and nobody uses it; removes it where that is so.
pub(super) async fn remove_unused(docker: &Docker, state: &StateFolder) -> Result<Unused, Failure> {
    let locks = state.locks();
    let _lock = Lock::take(&locks.join(LOCK)).await.map_err(locked)?;
    let Some(users) = Lock::try_take(&locks.join(USERS)).map_err(locked)? else {
        return Ok(Unused::Used);
    };
    let removed = remove_if_ours(docker).await;
    users.remove().map_err(locked)?;
    removed.map_err(|error| engine_failed(&error))
}

async fn remove_if_ours(docker: &Docker) -> Result<Unused, Error> {
    if !find(docker)
        .await?
        .is_some_and(|network| is_labelled(&network))
    {
        return Ok(Unused::Absent);
    }
    // The engine would refuse for running containers alone, and what is stopped could not be started again.
    if has_containers(docker).await? {
        return Ok(Unused::Used);
    }
    match docker.remove_network(NETWORK).await {
        Ok(()) => Ok(Unused::Removed),
        Err(error) if is_missing(&error) => Ok(Unused::Absent),
        // Somebody came in between.
        Err(Error::DockerResponseServerError {
            status_code: 403 | 409,
            ..
        }) => Ok(Unused::Used),
        Err(error) => Err(error),
    }
}

async fn has_containers(docker: &Docker) -> Result<bool, Error> {
    let filters = HashMap::from([("network", vec![NETWORK])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    Ok(!docker.list_containers(Some(options)).await?.is_empty())
}

/// Whether [`remove_unused`] would remove it.
pub(super) async fn is_unused(docker: &Docker, state: &StateFolder) -> Result<bool, Failure> {
    let users = state.locks().join(USERS);
    let is_used = users.exists() && Lock::try_take_existing(&users).map_err(locked)?.is_none();
    let look = async {
        let found = find(docker).await?;
        Ok(found.as_ref().is_some_and(is_labelled) && !has_containers(docker).await?)
    };
    Ok(!is_used && look.await.map_err(|error| engine_failed(&error))?)
}

fn is_labelled(network: &Network) -> bool {
    let labels = network.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(LABEL))
}

async fn create(docker: &Docker, run: &str) -> Result<(), Failure> {
    let mtu = default_mtu(docker).await;
    let with_ipv6 = docker
        .create_network(request(mtu.as_deref(), true, run))
        .await;
    match with_ipv6 {
        Ok(_) => Ok(()),
        // An engine or a kernel without IPv6, or a subnet that is taken: IPv4 does for what runs here.
        Err(error) => {
            tracing::debug!(%error, "the network gets no IPv6");
            let created = docker
                .create_network(request(mtu.as_deref(), false, run))
                .await;
            created.map(|_| ()).map_err(|error| failed(&error))
        }
    }
}

/// Whether it is there.
pub(super) async fn exists(docker: &Docker) -> Result<bool, Error> {
    Ok(find(docker).await?.is_some())
}

async fn find(docker: &Docker) -> Result<Option<Network>, Error> {
    let pattern = format!("^{NETWORK}$");
    let filters = HashMap::from([("name", vec![pattern.as_str()])]);
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let networks = docker.list_networks(Some(options)).await?;
    Ok(networks
        .into_iter()
        .find(|network| network.name.as_deref() == Some(NETWORK)))
}

/// The MTU that the engine's own network is configured with, where it is.
async fn default_mtu(docker: &Docker) -> Option<String> {
    let bridge = docker
        .inspect_network("bridge", None::<InspectNetworkOptions>)
        .await;
    bridge.ok()?.options?.get(MTU).cloned()
}

fn request(mtu: Option<&str>, ipv6: bool, run: &str) -> NetworkCreateRequest {
    let mut options = HashMap::from([(MASQUERADE.to_owned(), "true".to_owned())]);
    options.extend(mtu.map(|mtu| (MTU.to_owned(), mtu.to_owned())));
    let subnet = IpamConfig {
        subnet: Some(SUBNET.to_owned()),
        ..IpamConfig::default()
    };
    NetworkCreateRequest {
        name: NETWORK.to_owned(),
        driver: Some("bridge".to_owned()),
        options: Some(options),
        labels: Some(HashMap::from([(LABEL.to_owned(), run.to_owned())])),
        enable_ipv6: ipv6.then_some(true),
        ipam: ipv6.then(|| Ipam {
            config: Some(vec![subnet]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    }
}

fn locked(error: LockError) -> Failure {
    unkept(&error.into())
}

fn failed(error: &Error) -> Failure {
    let failure = Failure::new(
        Symptom::ClusterNotUp,
        format!("failed to make the Docker network `{NETWORK}`: {error}"),
    );
    if error.to_string().contains("address pool") {
        failure.with_remedy("remove unused networks with `docker network prune`, or widen `default-address-pools` in the engine's configuration")
    } else {
        failure
    }
}
