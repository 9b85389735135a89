//! The loopback addresses of a cell. Pods share the host's network, so each node has its own address, and so does the
//! mock's Service.

use std::net::{IpAddr, SocketAddr};

use super::pod_config::invalid;
use super::prober;
use crate::cluster::NodeName;
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::{Loopback, LoopbackError};
use crate::manifest::Rendered;

/// The Service's port for the test interface, which the runner uses.
const TEST_PORT: u16 = 8080;
/// The index of the mock's address in the block; the nodes' addresses follow.
const MOCK: u16 = 0;

/// The addresses of one cell, reserved until this value is dropped.
pub(super) struct Addresses {
    block: Loopback,
    service: String,
    nodes: Vec<NodeName>,
}

impl Addresses {
    /// Reserves addresses on which the ports in `rendered` are free.
    pub(super) fn take(rendered: &Rendered, nodes: &[NodeName]) -> Result<Self, Failure> {
        let mock = rendered.mock();
        let mut free = Vec::new();
        let service = mock.service.spec.clone().unwrap_or_default();
        for port in service.ports.into_iter().flatten() {
            let container = rendered.mock_container();
            let target = port.target_port.as_ref();
            let target =
                target.map_or(Some(port.port), |target| prober::number(target, container?));
            if target != Some(port.port) {
                return Err(invalid(format_args!(
                    "port {} of the mock's Service has a different targetPort; on the local provider, they must be equal",
                    port.port
                )));
            }
            free.extend(u16::try_from(port.port).ok().map(|port| (MOCK, port)));
        }
        let health = rendered.agent_container().and_then(prober::port);
        free.extend(health.map(|port| (MOCK + 1, port)));
        let block = Loopback::take(&free).map_err(|error| {
            let why = chain(&error);
            let message = format!("failed to reserve addresses for the cell's nodes: {why}");
            match error {
                LoopbackError::Io(_) => Failure::new(Symptom::ProcessFailed, message),
                LoopbackError::NoneFree => Failure::new(Symptom::NoPortFree, message),
                LoopbackError::Taken(port) => Failure::new(Symptom::NoPortFree, message)
                    .with_remedy(format!("stop the process that listens on port {port}")),
            }
        })?;
        Ok(Self {
            block,
            service: mock.service.metadata.name.clone().unwrap_or_default(),
            nodes: nodes.to_owned(),
        })
    }

    /// The mock's address.
    pub(super) fn mock(&self) -> IpAddr {
        self.block.address(MOCK).into()
    }

    /// The address of the mock's test interface.
    pub(super) fn test_interface(&self) -> SocketAddr {
        SocketAddr::new(self.mock(), TEST_PORT)
    }

    /// The node's address.
    pub(super) fn of(&self, node: &NodeName) -> IpAddr {
        let index = self.nodes.iter().position(|other| other == node);
        let offset = index.and_then(|index| u16::try_from(index + 1).ok());
        self.block.address(MOCK + offset.unwrap_or_default()).into()
    }

    /// The content of `/etc/hosts` in a pod on `node`: the node's name and the Service's names.
    pub(super) fn hosts(&self, node: &NodeName, namespace: &str) -> String {
        let (own, mock, service) = (self.of(node), self.mock(), &self.service);
        format!(
            "127.0.0.1 localhost\n::1 localhost\n{own} {node}\n{mock} {service} {service}.{namespace} \
             {service}.{namespace}.svc {service}.{namespace}.svc.cluster.local\n"
        )
    }
}
