//! The configuration of a pod's process, derived from the rendered objects before anything is started.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::addresses::Addresses;
use super::controller::Controller;
use super::environment::{self, Environment, PodFields, expand};
use super::prober::{self, Probes};
use super::status::Role;
use super::volumes::{self, Folder};
use crate::cluster::{NodeName, Programs};
use crate::event::{Failure, Symptom};
use crate::machine::sandbox::Sandbox;

/// The default grace period of a pod.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// The environment variable that sets the address of the agent's health endpoints.
const HEALTH_ADDRESS: &str = "PLEXD_HEALTH_ADDR";
const DEFAULT_HEALTH_PORT: u16 = 9100;
/// The hosts that mean all interfaces in a listen address.
const UNSPECIFIED: [&str; 3] = ["", "0.0.0.0", "[::]"];

/// A pod that can be started. Doesn't implement `Debug`, because its environment contains secrets.
pub(super) struct PodConfig {
    pub(super) role: Role,
    pub(super) node: NodeName,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) sandbox: Sandbox,
    pub(super) environment: Environment,
    pub(super) volumes: Vec<Folder>,
    pub(super) probes: Probes,
    pub(super) grace: Duration,
    pub(super) log: PathBuf,
    /// The parts of the specification that this provider ignores, one sentence each.
    pub(super) ignored: Vec<String>,
}

impl PodConfig {
    /// Derives the configuration of the pod with `role` on `node` from the rendered objects.
    pub(super) fn new(
        cell: &Controller,
        addresses: &Addresses,
        role: Role,
        node: &NodeName,
    ) -> Result<Self, Failure> {
        let (rendered, layout) = (&cell.plan.rendered, &cell.layout);
        let (template, container, account, address) = match role {
            Role::Agent => (
                &rendered.agent().daemon_set.spec.template,
                rendered.agent_container(),
                &rendered.agent().account,
                addresses.of(node),
            ),
            Role::Mock => (
                &rendered.mock().deployment.spec.template,
                rendered.mock_container(),
                &rendered.mock().account,
                addresses.mock(),
            ),
        };
        let missing = || invalid("the pod has no such container");
        let spec = template.spec.as_ref().ok_or_else(missing)?;
        let container = container.ok_or_else(missing)?;
        let uid = format!("{:032x}", rand::random::<u128>());
        let name = format!("{}-{}", container.name, &uid[..10]);
        let folder = layout.pod(node, &name);
        let ip = address.to_string();
        let fields = [
            ("metadata.name", name.as_str()),
            ("metadata.namespace", rendered.namespace()),
            ("metadata.uid", &uid),
            ("spec.nodeName", node.as_str()),
            ("spec.serviceAccountName", account),
            ("status.hostIP", &ip),
            ("status.hostIPs", &ip),
            ("status.podIP", &ip),
            ("status.podIPs", &ip),
        ];
        let fields = PodFields::new(template.metadata.as_ref(), &fields);
        let host = layout.host(node);
        let mut volumes = volumes::plan(spec, &fields, rendered, (&host, &folder))?;
        let mounts = volumes::mounts(container, &mut volumes);
        let mut environment = environment::resolve(spec, container, &fields, rendered)?;
        let (program, first) = program(&cell.programs, role);
        let arguments = arguments(container, &environment, address);
        environment
            .entry("HOSTNAME".to_owned())
            .or_insert_with(|| node.to_string());
        if role == Role::Agent {
            let port = prober::port(container).unwrap_or(DEFAULT_HEALTH_PORT);
            environment
                .entry(HEALTH_ADDRESS.to_owned())
                .or_insert_with(|| SocketAddr::new(address, port).to_string());
        }
        let security = container.security_context.as_ref();
        let grace = spec.termination_grace_period_seconds;
        let grace = grace.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(Self {
            role,
            node: node.clone(),
            sandbox: Sandbox {
                host_name: node.to_string(),
                files: files(node, addresses.hosts(node, rendered.namespace())),
                mounts,
                root: folder.join("root"),
                read_only: security.and_then(|context| context.read_only_root_filesystem)
                    == Some(true),
                program,
                arguments: first.into_iter().chain(arguments).collect(),
                folder: container.working_dir.as_deref().unwrap_or("/").into(),
            },
            environment,
            volumes: volumes.into_values().collect(),
            probes: Probes::of(container, address),
            grace: grace.map_or(DEFAULT_GRACE, Duration::from_secs),
            log: layout.log(&name),
            name,
            uid,
            ignored: ignored(spec, container),
        })
    }
}

/// The failure if a container can't be created from its specification.
pub(super) fn invalid(reason: impl Display) -> Failure {
    Failure::new(
        Symptom::ContainerConfig,
        format!("the container can't be created from its specification: {reason}"),
    )
}

/// The files that replace the host's files in each pod on `node`. `hosts` is the content of `/etc/hosts`.
fn files(node: &NodeName, hosts: String) -> BTreeMap<PathBuf, String> {
    const RESOLV_CONF: &str = "/etc/resolv.conf";
    let mut files = BTreeMap::from([
        ("/etc/hosts".into(), hosts),
        ("/etc/hostname".into(), format!("{node}\n")),
    ]);
    // On the host, this file may be a link to a file that isn't visible in a pod.
    let resolv_conf = fs::read_to_string(RESOLV_CONF).ok();
    files.extend(resolv_conf.map(|text| (RESOLV_CONF.into(), text)));
    files
}

/// The arguments of a container. The first word of `command` is left out: it is the program's path in the image, and
/// the program has another path on this machine.
fn arguments(container: &Container, environment: &Environment, address: IpAddr) -> Vec<String> {
    let command = container.command.iter().flatten().skip(1);
    let all = command.chain(container.args.iter().flatten());
    all.map(|argument| on_address(&expand(argument, environment), address))
        .collect()
}

/// If an argument is a listen address on all interfaces, replaces the host in it with `address`, because pods share the
/// host's network.
fn on_address(argument: &str, address: IpAddr) -> String {
    let (option, value) = match argument.split_once('=') {
        Some((option, value)) if option.starts_with('-') => (Some(option), value),
        _ => (None, argument),
    };
    let port = value
        .rsplit_once(':')
        .filter(|(host, _)| UNSPECIFIED.contains(host));
    let port: Option<u16> = port.and_then(|(_, port)| port.parse().ok());
    match (option, port) {
        (_, None) => argument.to_owned(),
        (None, Some(port)) => SocketAddr::new(address, port).to_string(),
        (Some(option), Some(port)) => format!("{option}={}", SocketAddr::new(address, port)),
    }
}

/// Describes what this provider leaves out: other containers, for which it has no programs, and files that come from an
/// API server.
fn ignored(spec: &PodSpec, container: &Container) -> Vec<String> {
    let init = spec.init_containers.iter().flatten();
    let others = init
        .chain(&spec.containers)
        .filter(|other| other.name != container.name);
    let others =
        others.map(|other| format!("the local provider doesn't run container {}", other.name));
    let volumes = volumes::incomplete(spec).map(|volume| {
        format!(
            "the volume `{}` has only its Secrets, ConfigMaps and downward API: the local provider has no API server",
            volume.name
        )
    });
    others.chain(volumes).collect()
}

/// The program of `role`: the one in the matrix file, or else the runner's own binary with the subcommand as its first
/// argument.
pub(super) fn program(programs: &Programs, role: Role) -> (PathBuf, Option<String>) {
    let (custom, subcommand) = match role {
        Role::Agent => (&programs.agent, "agent"),
        Role::Mock => (&programs.mock, "mockapi"),
    };
    match custom {
        Some(path) => (path.clone(), None),
        None => (programs.runner.clone(), Some(subcommand.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listen_address_on_all_interfaces_becomes_the_pods_address() {
        let address = IpAddr::from([127, 1, 0, 1]);
        for (argument, expected) in [
            (":80", "127.1.0.1:80"),
            ("--addr=:80", "--addr=127.1.0.1:80"),
            ("-addr=0.0.0.0:80", "-addr=127.1.0.1:80"),
            ("[::]:80", "127.1.0.1:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("a=:80", "a=:80"),
            (":name", ":name"),
            ("--config", "--config"),
        ] {
            assert_eq!(on_address(argument, address), expected);
        }
    }
}
