//! The configuration of a pod's process, derived from the rendered objects before anything is started.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};

use super::addresses::Addresses;
use super::contents::Contents;
use super::environment::{self, Environment, PodFacts, expand};
use super::failure;
use super::layout::Layout;
use super::prober::{self, Probes};
use super::status::Role;
use super::volumes::{self, Folder};
use crate::cluster::{NodeName, Programs};
use crate::event::Failure;
use crate::machine::sandbox::Sandbox;
use crate::manifest::Rendered;

/// The default grace period of a pod.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// The environment variable with the address of the agent's health endpoints.
const HEALTH_ADDRESS: &str = "PLEXD_HEALTH_ADDR";
const DEFAULT_HEALTH_PORT: u16 = 9100;
/// The hosts in listen addresses that stand for all addresses.
const UNSPECIFIED: [&str; 3] = ["", "0.0.0.0", "[::]"];

/// A pod that can be started. Has no `Debug`: its environment contains tokens.
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

/// Derives the configurations of a cell's pods from the rendered objects.
pub(super) struct PodBuilder {
    rendered: Arc<Rendered>,
    programs: Arc<Programs>,
    layout: Layout,
    contents: Contents,
    pub(super) addresses: Addresses,
}

impl PodBuilder {
    /// A builder for the pods on `nodes`. Reserves their addresses.
    pub(super) fn new(
        rendered: Arc<Rendered>,
        programs: Arc<Programs>,
        layout: Layout,
        nodes: &[NodeName],
    ) -> Result<Self, Failure> {
        Ok(Self {
            contents: Contents::of(&rendered),
            addresses: Addresses::take(&rendered, nodes)?,
            rendered,
            programs,
            layout,
        })
    }

    /// The mock's pod, on `node`.
    pub(super) fn mock(&self, node: &NodeName) -> Result<PodConfig, Failure> {
        let template = &self.rendered.mock().deployment.spec.template;
        let container = self.rendered.mock_container();
        self.build(Role::Mock, template, container, node)
    }

    /// The agent's pod on `node`.
    pub(super) fn agent(&self, node: &NodeName) -> Result<PodConfig, Failure> {
        let template = &self.rendered.agent().daemon_set.spec.template;
        let container = self.rendered.agent_container();
        self.build(Role::Agent, template, container, node)
    }

    fn build(
        &self,
        role: Role,
        template: &PodTemplateSpec,
        container: Option<&Container>,
        node: &NodeName,
    ) -> Result<PodConfig, Failure> {
        let missing = || failure::container("the pod has no such container");
        let spec = template.spec.as_ref().ok_or_else(missing)?;
        let container = container.ok_or_else(missing)?;
        let address = match role {
            Role::Agent => self.addresses.of(node),
            Role::Mock => self.addresses.mock(),
        };
        let facts = self.facts(template, spec, container, node, address);
        let pod = self.layout.pod(node, &facts.name);
        let host = self.layout.host(node);
        let mut volumes = volumes::plan(spec, &facts, &self.contents, (&host, &pod))?;
        let mounts = volumes::mounts(container, &mut volumes);
        let mut environment = environment::resolve(container, &facts, &self.contents)?;
        let (program, first) = program(&self.programs, role);
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
        Ok(PodConfig {
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
            volumes: volumes.into_values().collect(),
            probes: Probes::of(container, address),
            grace: grace.map_or(DEFAULT_GRACE, Duration::from_secs),
            log: self.layout.log(&facts.name),
            name: facts.name,
            uid: facts.uid,
            ignored: ignored(spec, container),
        })
    }

    fn facts(
        &self,
        template: &PodTemplateSpec,
        spec: &PodSpec,
        container: &Container,
        node: &NodeName,
        address: IpAddr,
    ) -> PodFacts {
        let metadata = template.metadata.clone().unwrap_or_default();
        let account = spec.service_account_name.as_deref();
        let uid = format!("{:032x}", rand::random::<u128>());
        PodFacts {
            name: format!("{}-{}", container.name, &uid[..5]),
            namespace: self.rendered.namespace().to_owned(),
            uid,
            node: node.to_string(),
            address: address.to_string(),
            account: account.unwrap_or("default").to_owned(),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
        }
    }

    /// The files of each pod on `node` that replace the host's.
    fn files(&self, node: &NodeName) -> BTreeMap<PathBuf, String> {
        const RESOLV_CONF: &str = "/etc/resolv.conf";
        let hosts = self.addresses.hosts(node, self.rendered.namespace());
        let mut files = BTreeMap::from([
            ("/etc/hosts".into(), hosts),
            ("/etc/hostname".into(), format!("{node}\n")),
        ]);
        // On the host, this may be a link to a file that isn't visible in a pod.
        let resolv_conf = fs::read_to_string(RESOLV_CONF).ok();
        files.extend(resolv_conf.map(|text| (RESOLV_CONF.into(), text)));
        files
    }
}

/// The arguments of a container. The first word of `command` is left out: it is the program, which has another path
/// here.
fn arguments(container: &Container, environment: &Environment, address: IpAddr) -> Vec<String> {
    let command = container.command.iter().flatten().skip(1);
    let all = command.chain(container.args.iter().flatten());
    all.map(|argument| on_address(&expand(argument, environment), address))
        .collect()
}

/// Changes an argument that is a listen address on all interfaces to `address`, because pods share the host's network.
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

/// What this provider leaves out: the other containers, for which it has no programs, and files from an API server.
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

/// The program of `role`, and its first argument if it is the runner's own binary.
pub(super) fn program(programs: &Programs, role: Role) -> (PathBuf, Option<String>) {
    if let Some(path) = custom_program(programs, role) {
        return (path.clone(), None);
    }
    let subcommand = match role {
        Role::Agent => "agent",
        Role::Mock => "mockapi",
    };
    (programs.runner.clone(), Some(subcommand.to_owned()))
}

/// The program that the matrix file specifies for `role`.
pub(super) fn custom_program(programs: &Programs, role: Role) -> Option<&PathBuf> {
    match role {
        Role::Agent => programs.agent.as_ref(),
        Role::Mock => programs.mock.as_ref(),
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
