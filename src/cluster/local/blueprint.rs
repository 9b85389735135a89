//! The description of a pod's process, derived from the rendered objects before anything is started.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};

use super::addresses::Addresses;
use super::board::Role;
use super::contents::Contents;
use super::environment::{self, Environment, PodFacts, expand};
use super::failure;
use super::layout::Layout;
use super::probe::{self, Probes};
use super::volumes::{self, Folder};
use crate::cluster::{NodeName, Programs};
use crate::event::Failure;
use crate::machine::sandbox::Sandbox;
use crate::manifest::Rendered;

/// The default grace period of a pod.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// The variable for the address of the agent's health endpoints.
const HEALTH_ADDRESS: &str = "PLEXD_HEALTH_ADDR";
const DEFAULT_HEALTH_PORT: u16 = 9100;
/// Listening addresses that accept connections to all addresses of the host.
const EVERYWHERE: [&str; 3] = ["", "0.0.0.0", "[::]"];

/// A pod that can be started. Has no `Debug`: its environment contains tokens.
pub(super) struct Blueprint {
    pub(super) role: Role,
    pub(super) node: NodeName,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) sandbox: Sandbox,
    pub(super) environment: Environment,
    pub(super) folders: Vec<Folder>,
    pub(super) probes: Probes,
    pub(super) grace: Duration,
    pub(super) log: PathBuf,
    /// What isn't carried out of its specification.
    pub(super) left_out: Vec<String>,
}

/// Creates the blueprints of one cell.
pub(super) struct Drafter<'a> {
    pub(super) rendered: &'a Rendered,
    pub(super) programs: &'a Programs,
    pub(super) layout: &'a Layout,
    pub(super) contents: &'a Contents,
    pub(super) addresses: &'a Addresses,
}

impl Drafter<'_> {
    /// The mock's pod, on `node`.
    pub(super) fn mock(&self, node: &NodeName) -> Result<Blueprint, Failure> {
        let template = &self.rendered.mock().deployment.spec.template;
        let container = self.rendered.mock_container();
        self.draft(Role::Mock, template, container, node)
    }

    /// The agent's pod on `node`.
    pub(super) fn agent(&self, node: &NodeName) -> Result<Blueprint, Failure> {
        let template = &self.rendered.agent().daemon_set.spec.template;
        let container = self.rendered.agent_container();
        self.draft(Role::Agent, template, container, node)
    }

    fn draft(
        &self,
        role: Role,
        template: &PodTemplateSpec,
        container: Option<&Container>,
        node: &NodeName,
    ) -> Result<Blueprint, Failure> {
        let missing = || failure::container("it has no such container");
        let spec = template.spec.as_ref().ok_or_else(missing)?;
        let container = container.ok_or_else(missing)?;
        let address = match role {
            Role::Agent => self.addresses.of(node),
            Role::Mock => self.addresses.mock(),
        };
        let namespace = self.rendered.namespace();
        let facts = facts(template, spec, container, node, namespace, address);
        let pod = self.layout.pod(node, &facts.name);
        let host = self.layout.host(node);
        let mut folders = volumes::plan(spec, &facts, self.contents, (&host, &pod))?;
        let mounts = volumes::mounts(container, &mut folders);
        let mut environment = environment::resolve(container, &facts, self.contents)?;
        let (program, first) = program(self.programs, role);
        let arguments = arguments(container, &environment, address);
        environment
            .entry("HOSTNAME".to_owned())
            .or_insert_with(|| node.to_string());
        if role == Role::Agent {
            let port = probe::port(container).unwrap_or(DEFAULT_HEALTH_PORT);
            let health = SocketAddr::new(address, port).to_string();
            environment
                .entry(HEALTH_ADDRESS.to_owned())
                .or_insert(health);
        }
        let security = container.security_context.as_ref();
        let grace = spec.termination_grace_period_seconds;
        let grace = grace.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(Blueprint {
            role,
            node: node.clone(),
            sandbox: Sandbox {
                host_name: node.to_string(),
                files: self.files(node),
                mounts,
                root: pod.join("root"),
                read_only: security.and_then(|context| context.read_only_root_filesystem)
                    == Some(true),
                program,
                arguments: first.into_iter().chain(arguments).collect(),
                folder: container.working_dir.as_deref().unwrap_or("/").into(),
            },
            environment,
            folders: folders.into_values().collect(),
            probes: Probes::of(container, address),
            grace: grace.map_or(DEFAULT_GRACE, Duration::from_secs),
            log: self.layout.log(&facts.name),
            name: facts.name,
            uid: facts.uid,
            left_out: left_out(spec, container),
        })
    }

    /// The private files of each pod on `node`.
    fn files(&self, node: &NodeName) -> BTreeMap<PathBuf, String> {
        const NAME_SERVERS: &str = "/etc/resolv.conf";
        let hosts = self.addresses.hosts(node, self.rendered.namespace());
        let mut files = BTreeMap::from([
            ("/etc/hosts".into(), hosts),
            ("/etc/hostname".into(), format!("{node}\n")),
        ]);
        // On the host, this may be a link to a file that a pod doesn't see.
        let name_servers = fs::read_to_string(NAME_SERVERS).ok();
        files.extend(name_servers.map(|text| (NAME_SERVERS.into(), text)));
        files
    }
}

/// The arguments of a container. A `command` replaces the image's: its first word is the program, which has another
/// path here.
fn arguments(container: &Container, environment: &Environment, address: IpAddr) -> Vec<String> {
    let command = container.command.iter().flatten().skip(1);
    let all = command.chain(container.args.iter().flatten());
    all.map(|argument| listening(&expand(argument, environment), address))
        .collect()
}

/// Replaces an argument that says to listen on a port of all addresses with one for `address`, because pods share the
/// host's network.
fn listening(argument: &str, address: IpAddr) -> String {
    let (option, value) = match argument.split_once('=') {
        Some((option, value)) if option.starts_with('-') => (Some(option), value),
        _ => (None, argument),
    };
    let port = value
        .rsplit_once(':')
        .filter(|(host, _)| EVERYWHERE.contains(host));
    let port: Option<u16> = port.and_then(|(_, port)| port.parse().ok());
    match (option, port) {
        (_, None) => argument.to_owned(),
        (None, Some(port)) => SocketAddr::new(address, port).to_string(),
        (Some(option), Some(port)) => format!("{option}={}", SocketAddr::new(address, port)),
    }
}

/// The other containers of the pod, for which this provider has no programs.
fn left_out(spec: &PodSpec, container: &Container) -> Vec<String> {
    let init = spec.init_containers.iter().flatten();
    init.chain(&spec.containers)
        .filter(|other| other.name != container.name)
        .map(|other| format!("container {} is not run here", other.name))
        .collect()
}

fn facts(
    template: &PodTemplateSpec,
    spec: &PodSpec,
    container: &Container,
    node: &NodeName,
    namespace: &str,
    address: IpAddr,
) -> PodFacts {
    let metadata = template.metadata.clone().unwrap_or_default();
    let uid = format!("{:032x}", rand::random::<u128>());
    PodFacts {
        name: format!("{}-{}", container.name, &uid[..5]),
        namespace: namespace.to_owned(),
        uid,
        node: node.to_string(),
        address: address.to_string(),
        account: spec
            .service_account_name
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
    }
}

/// The program of a role and its first arguments: the one that the matrix file names, or the runner's own binary.
pub(super) fn program(programs: &Programs, role: Role) -> (PathBuf, Option<String>) {
    let (own, word) = match role {
        Role::Agent => (&programs.agent, "agent"),
        Role::Mock => (&programs.mock, "mockapi"),
    };
    match own {
        Some(path) => (path.clone(), None),
        None => (programs.runner.clone(), Some(word.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_all_addresses_becomes_a_port_of_the_pods_address() {
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
            assert_eq!(listening(argument, address), expected);
        }
    }
}
