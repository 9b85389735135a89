//! The Docker network that all clusters share: made once, before the first cluster, as kind itself would make it.
//!
//! Two clusters that each find it missing would make two of one name, and then neither works.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};

use crate::event::{Failure, Symptom};
use crate::machine::{Lock, StateFolder};

/// The name that kind has for it.
pub(super) const NETWORK: &str = "kind";

/// The subnet that kind derives from the network's name at its first attempt: a hash of `kind` in `fc00::/8`.
const SUBNET: &str = "fc00:f853:ccd:e793::/64";

const MTU: &str = "com.docker.network.driver.mtu";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";

/// Makes the network where there is none. Safe to call from many processes at once.
pub(super) async fn ensure(docker: &Docker, state: &StateFolder) -> Result<(), Failure> {
    let lock = Lock::take(&state.locks().join("network")).await;
    let _lock = lock.map_err(|error| Failure::new(Symptom::FilesystemFailed, error.to_string()))?;
    if exists(docker).await.map_err(|error| failed(&error))? {
        return Ok(());
    }
    let mtu = default_mtu(docker).await;
    let with_ipv6 = docker.create_network(request(mtu.as_deref(), true)).await;
    match with_ipv6 {
        Ok(_) => Ok(()),
        // An engine or a kernel without IPv6, or a subnet that is taken: IPv4 does for what runs here.
        Err(error) => {
            tracing::debug!(%error, "the network gets no IPv6");
            let created = docker.create_network(request(mtu.as_deref(), false)).await;
            created.map(|_| ()).map_err(|error| failed(&error))
        }
    }
}

/// Whether it is there.
pub(super) async fn exists(docker: &Docker) -> Result<bool, Error> {
    let pattern = format!("^{NETWORK}$");
    let filters = HashMap::from([("name", vec![pattern.as_str()])]);
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let networks = docker.list_networks(Some(options)).await?;
    Ok(networks
        .iter()
        .any(|network| network.name.as_deref() == Some(NETWORK)))
}

/// The MTU that the engine's own network is configured with, where it is.
async fn default_mtu(docker: &Docker) -> Option<String> {
    let bridge = docker
        .inspect_network("bridge", None::<InspectNetworkOptions>)
        .await;
    bridge.ok()?.options?.get(MTU).cloned()
}

fn request(mtu: Option<&str>, ipv6: bool) -> NetworkCreateRequest {
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
        enable_ipv6: ipv6.then_some(true),
        ipam: ipv6.then(|| Ipam {
            config: Some(vec![subnet]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    }
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
