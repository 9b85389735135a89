//! A pod on paper: everything that its process needs, worked out from the rendered objects before anything is started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::announce::{Listener, Listeners};
use super::board::Role;
use super::contents::Contents;
use super::environment::{self, PodFacts};
use super::failure;
use super::launch::{Launch, Program};
use super::layout::Layout;
use super::mapping::{Mapping, ServicePort};
use super::probe::{Ports, Probes};
use super::volumes::{self, Folder};
use crate::cluster::{NodeName, Programs};
use crate::event::Failure;
use crate::manifest::Rendered;

/// How long a pod may take to end where its manifest does not say.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// The listener of a mock that does not run yet, for a blueprint that is only checked.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A pod that can be started.
pub(super) struct Blueprint {
    pub(super) role: Role,
    pub(super) node: NodeName,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) launch: Launch,
    pub(super) folders: Vec<Folder>,
    pub(super) mapping: Mapping,
    pub(super) probes: Probes,
    pub(super) grace: Duration,
    pub(super) log: PathBuf,
    /// What of its description is not carried out.
    pub(super) left_out: Vec<String>,
}

/// Draws the blueprints of one cell.
pub(super) struct Drafter<'a> {
    pub(super) rendered: &'a Rendered,
    pub(super) programs: &'a Programs,
    pub(super) layout: &'a Layout,
    pub(super) contents: &'a Contents,
}

impl Drafter<'_> {
    /// The mock's pod, on `node`, and which ports of its container are which listener.
    pub(super) fn mock(
        &self,
        node: &NodeName,
    ) -> Result<(Blueprint, BTreeMap<u16, Listener>), Failure> {
        let mock = self.rendered.mock();
        let program = program(self.programs, Role::Mock);
        let template = &mock.deployment.spec.template;
        let mut draft = self.draft(template, &mock.container, node, program, Vec::new())?;
        let ports = draft.launch.take_any_ports();
        let blueprint = draft.finish(Role::Mock, &Ports::Mock(ports.clone()));
        Ok((blueprint, ports))
    }

    /// The agent's pod on `node`, which reaches the mock by `services`.
    pub(super) fn agent(
        &self,
        node: &NodeName,
        services: Vec<ServicePort>,
    ) -> Result<Blueprint, Failure> {
        let agent = self.rendered.agent();
        let program = program(self.programs, Role::Agent);
        let template = &agent.daemon_set.spec.template;
        let mut draft = self.draft(template, &agent.container, node, program, services)?;
        draft
            .launch
            .default_variable(Listener::AgentHealth.variable(), "127.0.0.1:0");
        Ok(draft.finish(Role::Agent, &Ports::Agent))
    }

    /// The ports of the mock's Service, each with the listener behind it.
    pub(super) fn services(
        &self,
        ports: &BTreeMap<u16, Listener>,
        listeners: Option<&Listeners>,
    ) -> Vec<ServicePort> {
        let mock = self.rendered.mock();
        let container = container_of(&mock.deployment.spec.template, &mock.container);
        let name = mock.service.metadata.name.clone().unwrap_or_default();
        let spec = mock.service.spec.clone().unwrap_or_default();
        let behind = Ports::Mock(ports.clone());
        let service_ports = spec.ports.unwrap_or_default().into_iter();
        let mapped = service_ports.filter_map(|port| {
            let target = port.target_port.unwrap_or(IntOrString::Int(port.port));
            let listener = behind.listener(&target, container?)?;
            let address = listeners.map_or(Some(NOWHERE), |all| all.get(&listener).copied());
            Some(ServicePort {
                service: name.clone(),
                namespace: self.rendered.namespace().to_owned(),
                port: u16::try_from(port.port).ok()?,
                listener: address?,
            })
        });
        mapped.collect()
    }

    fn draft<'t>(
        &self,
        template: &'t PodTemplateSpec,
        container: &str,
        node: &NodeName,
        program: Program,
        services: Vec<ServicePort>,
    ) -> Result<Draft<'t>, Failure> {
        let missing = || failure::container(format!("it has no container `{container}`"));
        let spec = template.spec.as_ref().ok_or_else(missing)?;
        let container = container_of(template, container).ok_or_else(missing)?;
        let facts = facts(template, spec, container, node, self.rendered.namespace());
        let pod = self.layout.pod(node, &facts.name);
        let host = self.layout.host(node);
        let mut folders = volumes::plan(spec, &facts, self.contents, (&host, &pod))?;
        let mut mapping = Mapping::new(services);
        volumes::mount(container, &mut folders, &mut mapping);
        let environment = environment::resolve(container, &facts, self.contents)?;
        let launch = Launch::new(program, container, environment, &mapping, &pod);
        Ok(Draft {
            spec,
            container,
            log: self.layout.log(&facts.name),
            facts,
            node: node.clone(),
            folders: folders.into_values().collect(),
            mapping,
            launch,
        })
    }
}

/// A pod whose role is not decided yet.
struct Draft<'t> {
    spec: &'t PodSpec,
    container: &'t Container,
    facts: PodFacts,
    node: NodeName,
    folders: Vec<Folder>,
    mapping: Mapping,
    launch: Launch,
    log: PathBuf,
}

impl Draft<'_> {
    fn finish(self, role: Role, ports: &Ports) -> Blueprint {
        let grace = self.spec.termination_grace_period_seconds;
        let grace = grace.and_then(|seconds| u64::try_from(seconds).ok());
        Blueprint {
            role,
            node: self.node,
            name: self.facts.name,
            uid: self.facts.uid,
            probes: Probes::of(self.container, ports),
            grace: grace.map_or(DEFAULT_GRACE, Duration::from_secs),
            left_out: left_out(self.spec, self.container),
            launch: self.launch,
            folders: self.folders,
            mapping: self.mapping,
            log: self.log,
        }
    }
}

/// The other containers of the pod: this provider has no programs for them.
fn left_out(spec: &PodSpec, container: &Container) -> Vec<String> {
    let init = spec.init_containers.iter().flatten();
    init.chain(&spec.containers)
        .filter(|other| other.name != container.name)
        .map(|other| format!("container {} is not run here", other.name))
        .collect()
}

fn container_of<'t>(template: &'t PodTemplateSpec, name: &str) -> Option<&'t Container> {
    let containers = &template.spec.as_ref()?.containers;
    containers.iter().find(|container| container.name == name)
}

fn facts(
    template: &PodTemplateSpec,
    spec: &PodSpec,
    container: &Container,
    node: &NodeName,
    namespace: &str,
) -> PodFacts {
    let metadata = template.metadata.clone().unwrap_or_default();
    let uid = format!("{:032x}", rand::random::<u128>());
    PodFacts {
        name: format!("{}-{}", container.name, &uid[..5]),
        namespace: namespace.to_owned(),
        uid,
        node: node.to_string(),
        account: spec
            .service_account_name
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
    }
}

/// The program of a role: the one that the file names, or the runner's own binary in that role.
pub(super) fn program(programs: &Programs, role: Role) -> Program {
    let (own, word) = match role {
        Role::Agent => (&programs.agent, "agent"),
        Role::Mock => (&programs.mock, "mockapi"),
    };
    match own {
        Some(path) => Program {
            path: path.clone(),
            first: Vec::new(),
        },
        None => Program {
            path: programs.runner.clone(),
            first: vec![word.to_owned()],
        },
    }
}
