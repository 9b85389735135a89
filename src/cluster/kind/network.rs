//! The Docker network that all kind clusters share. It is created before the first cluster, just as kind would create
//! it, and deleted by the last run that uses it. A network that isn't in one of our ledgers isn't ours and is never
//! touched.
//!
//! If kind created the network, two clusters that are created at the same time could create two networks with the same
//! name, and neither cluster would work.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};
use jiff::Timestamp;

use super::claim::{KindResource, Live, NetworkClaim};
use super::{limits, nodes};
use crate::cluster::images::absent_is_none;
use crate::cluster::reclaim::Reclaimed;
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::{Ledger, LedgerContents, LiveClaims, Lock, StateFolder, read_dead};

/// kind's name for the network.
pub(super) const NETWORK: &str = "kind";

/// The subnet that kind derives from the network's name at the first attempt: a hash of `kind` in `fc00::/8`.
const SUBNET: &str = "fc00:f853:ccd:e793::/64";

const MTU: &str = "com.docker.network.driver.mtu";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";

/// The label of a network that was created here. Its value is the seal in the ledger.
pub(super) const LABEL: &str = "e2e-matrix.network";

/// The name of the lock that a run holds while it starts or ends its use of the network, and while it creates or
/// deletes the network.
const LOCK: &str = "network";
/// How long to wait for the lock. Its holder makes a few calls to the engine, and each of them may take two minutes.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long after the end of a run the engine may still create the network that the run requested.
const LATE_CREATION: Duration = Duration::from_secs(3);

/// Creates the network if it doesn't exist, and records that the run uses it. Safe to call from many processes at once.
/// Returns the run's claim; `None` if the network isn't ours, so that the run must not delete it.
pub(super) async fn ensure(
    docker: &Docker,
    state: &StateFolder,
    ledger: &Ledger,
) -> Result<Option<NetworkClaim>, Failure> {
    let _lock = lock(state).await?;
    let mut claim = NetworkClaim {
        id: None,
        seal: format!("{:032x}", rand::random::<u128>()),
        planned: Timestamp::now(),
    };
    let plan = |claim: &NetworkClaim| ledger.plan(&KindResource::Network(claim.clone()));
    if let Some(network) = find(docker).await.map_err(|error| failed(&error))? {
        if !is_claimed(&network, state)? {
            return Ok(None);
        }
        claim.id = network.id;
    } else {
        plan(&claim)?;
        claim.id = Some(create(docker, &claim.seal).await?);
    }
    plan(&claim)?;
    Ok(Some(claim))
}

/// Whether the network is in the ledger of any run, dead or alive.
fn is_claimed(network: &Network, state: &StateFolder) -> Result<bool, Failure> {
    let live = Live::read(&LiveClaims::of_all(state))?;
    let dead = read_dead(state)?;
    let mut dead = dead.iter().flat_map(|run| run.contents.payloads());
    let claims = |(_, it)| matches!(it, KindResource::Network(claim) if claim.owns(network));
    Ok(live.owns_network(network) || dead.any(claims))
}

/// Ends the run's use of the network, and deletes the network if nothing else uses it. A run that keeps a cluster also
/// keeps its claim to the network.
pub(super) async fn leave(
    docker: &Docker,
    state: &StateFolder,
    ledger: &Ledger,
    claim: &NetworkClaim,
) -> Result<(), Failure> {
    let _lock = lock(state).await?;
    let live = LiveClaims::except(state, ledger.run());
    let contents = LedgerContents::read(ledger.folder())?;
    let deleted = delete_unused(docker, claim, &live, false).await?;
    let keeps = contents.left.iter().any(|left| left.kept.is_some());
    let resource = KindResource::Network(claim.clone());
    if keeps && matches!(deleted, Reclaimed::Used(_)) {
        ledger.keep(&resource, Vec::new())?;
    } else {
        // If others still use the network, they are responsible for it now.
        ledger.gone(&resource)?;
    }
    Ok(())
}

/// Deletes the network of a dead run if nothing else uses it.
pub(super) async fn reclaim(
    docker: &Docker,
    claim: &NetworkClaim,
    live: &LiveClaims,
    dry_run: bool,
) -> Result<Reclaimed, Failure> {
    if dry_run {
        return delete_unused(docker, claim, live, dry_run).await;
    }
    let _lock = lock(live.state()).await?;
    let deleted = delete_unused(docker, claim, live, dry_run).await?;
    if claim.id.is_none() && deleted == Reclaimed::Absent {
        // The run ended while it waited for the engine, which may still create the network.
        tokio::time::sleep(LATE_CREATION).await;
        return delete_unused(docker, claim, live, dry_run).await;
    }
    Ok(deleted)
}

async fn delete_unused(
    docker: &Docker,
    claim: &NetworkClaim,
    live: &LiveClaims,
    dry_run: bool,
) -> Result<Reclaimed, Failure> {
    let live = Live::read(live)?;
    let network = find(docker).await?;
    let Some(network) = network.filter(|network| claim.owns(network)) else {
        return Ok(Reclaimed::Absent);
    };
    if live.owns_network(&network) {
        return Ok(Reclaimed::Used("a run uses it".to_owned()));
    }
    let id = network.id.unwrap_or_default();
    let used = || Reclaimed::Used("containers use it".to_owned());
    // The engine refuses to delete a network only if running containers use it. Without the network, stopped containers
    // could no longer be started.
    if !nodes::filtered(docker, "network", &id).await?.is_empty() {
        return Ok(used());
    }
    if dry_run {
        return Ok(Reclaimed::Present);
    }
    match docker.remove_network(&id).await {
        // Another process has connected a container in the meantime.
        Err(Error::DockerResponseServerError {
            status_code: 403 | 409,
            ..
        }) => Ok(used()),
        removed => Ok(match absent_is_none(removed)? {
            Some(()) => Reclaimed::Deleted,
            None => Reclaimed::Absent,
        }),
    }
}

/// Creates the network. Returns its id.
async fn create(docker: &Docker, seal: &str) -> Result<String, Failure> {
    let mtu = default_mtu(docker).await;
    let create = |ipv6| docker.create_network(request(mtu.as_deref(), ipv6, seal));
    let created = match create(true).await {
        // The engine or the kernel doesn't support IPv6, or the subnet is taken: IPv4 is enough here.
        Err(error) => {
            tracing::debug!(%error, "creating the network without IPv6");
            create(false).await
        }
        created => created,
    };
    Ok(created.map_err(|error| failed(&error))?.id)
}

/// The network, if it exists.
pub(super) async fn find(docker: &Docker) -> Result<Option<Network>, Error> {
    let pattern = format!("^{NETWORK}$");
    let filters = HashMap::from([("name", vec![pattern.as_str()])]);
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let mut networks = docker.list_networks(Some(options)).await?.into_iter();
    Ok(networks.find(|network| network.name.as_deref() == Some(NETWORK)))
}

/// The MTU that is configured for the engine's default network, if any.
async fn default_mtu(docker: &Docker) -> Option<String> {
    let inspecting = docker.inspect_network("bridge", None::<InspectNetworkOptions>);
    inspecting.await.ok()?.options?.remove(MTU)
}

fn request(mtu: Option<&str>, ipv6: bool, seal: &str) -> NetworkCreateRequest {
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
        labels: Some(HashMap::from([(LABEL.to_owned(), seal.to_owned())])),
        enable_ipv6: ipv6.then_some(true),
        ipam: ipv6.then(|| Ipam {
            config: Some(vec![subnet]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    }
}

async fn lock(state: &StateFolder) -> Result<Lock, Failure> {
    let lock = Lock::take_within(&state.lock(LOCK), PATIENCE).await;
    Ok(lock?)
}

fn failed(error: &Error) -> Failure {
    let why = chain(error);
    let message = format!("failed to create the Docker network `{NETWORK}`: {why}");
    limits::diagnose(Failure::new(Symptom::ClusterNotUp, message))
}
