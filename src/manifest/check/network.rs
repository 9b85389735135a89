//! Checks the path from a URL in the agent's configuration through a Service to a port of a container.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reqwest::Url;
use serde::Deserialize;

use super::workload::pod_labels;
use super::{Deployed, Findings};
use crate::manifest::config::for_each_string;
use crate::manifest::{Object, Place, items, names};

impl Deployed<'_> {
    /// The pods in the manifests that a Service selects; `None` if it has no selector, or is in another namespace, which
    /// may contain other pods.
    fn selected(&self, service: &Object) -> Option<Vec<&Object>> {
        let selector = service.value.pointer("/spec/selector")?.as_object()?;
        if selector.is_empty() || !service.is_in(self.namespace) {
            return None;
        }
        let is_selected = |object: &&Object| {
            let labels = pod_labels(object).filter(|_| object.is_in(self.namespace));
            labels.is_some_and(|labels| {
                let mut pairs = selector.iter();
                pairs.all(|(key, value)| labels.get(key).is_some_and(|own| value == own))
            })
        };
        let objects = self.objects.iter().copied();
        Some(objects.filter(is_selected).collect())
    }

    /// The Services that select no pod in the manifests. Controllers may create their pods, or add the labels later.
    pub(super) fn services_without_pods(&self) -> impl Iterator<Item = &Object> {
        let services = self.of_kind("Service");
        services.filter(|it| self.selected(it).is_some_and(|pods| pods.is_empty()))
    }
}

/// Checks that the mock's Service selects pods, and that each port of a Service targets a port of its pods.
pub(super) fn service(findings: &mut Findings<'_>) {
    let Some(spec) = findings
        .decode::<Service>()
        .and_then(|service| service.spec)
    else {
        return;
    };
    service_ports(findings, spec.ports.as_deref().unwrap_or_default());
    let deployed = findings.deployed;
    let Some(selected) = deployed.selected(findings.object) else {
        return;
    };
    if selected.is_empty() {
        if deployed.is_complete && findings.object.name == deployed.mock_service {
            let remedy = "set it to the labels of a pod template";
            findings.add("spec.selector", "selects no pod in the manifests", remedy);
        }
        return;
    }
    // Another check reports specifications that can't be decoded.
    let pods = selected.iter();
    let pods = pods.filter_map(|object| object.value.pointer(object.pod_spec()));
    let Ok(pods) = pods
        .map(PodSpec::deserialize)
        .collect::<Result<Vec<_>, _>>()
    else {
        return;
    };
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        if !pods.iter().any(|pod| has_target(pod, port)) {
            findings.add(
                &format!("spec.ports[{index}].targetPort"),
                format!("port {} targets no port of the selected pods", port.port),
                "set it to a port of one of their containers",
            );
        }
    }
}

fn service_ports(findings: &mut Findings<'_>, ports: &[ServicePort]) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        if !names.insert(port.name.as_deref().unwrap_or_default()) {
            let message = match &port.name {
                Some(name) => format!("two ports are called `{name}`"),
                None => "two ports have no name".to_owned(),
            };
            findings.add(&format!("{field}.name"), message, "rename one of the two");
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if !numbers.insert((port.port, protocol)) {
            let message = format!("port {}/{protocol} is declared twice", port.port);
            findings.add(&format!("{field}.port"), message, "keep one of the two");
        }
    }
}

/// Whether the pod has the target port of a Service. Containers don't have to declare their ports, so any number is
/// accepted. A name has to be declared, by a container or by an init container that keeps running.
fn has_target(pod: &PodSpec, port: &ServicePort) -> bool {
    let Some(IntOrString::String(name)) = &port.target_port else {
        return true;
    };
    let init = pod.init_containers.iter().flatten();
    let sidecars = init.filter(|it| it.restart_policy.as_deref() == Some("Always"));
    let containers = pod.containers.iter().chain(sidecars);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.any(|declared| declared.name.as_ref() == Some(name))
}

/// Checks each URL in the agent's configuration that refers to a Service.
pub(super) fn agent_config(findings: &mut Findings<'_>) {
    let deployed = findings.deployed;
    let place = deployed.config_place;
    let Some(place) = place.filter(|place| place.name == findings.object.name) else {
        return;
    };
    let mut config = deployed.agent_config.clone();
    for_each_string(&mut config, &Place::default(), &mut |at, value| {
        if let Some(text) = value.as_str()
            && let Ok(url) = Url::parse(text)
            && let Some(address) = Address::of(&url)
        {
            let field = format!("data.{}: {}", place.key, at.field);
            check_url(&field, text, &address, findings);
        }
    });
}

/// The Service that a URL refers to in the cluster's DNS.
struct Address<'u> {
    service: &'u str,
    /// The Service's namespace; `None` if the URL doesn't name one, so that it refers to the pod's own namespace.
    namespace: Option<&'u str>,
    port: u16,
}

impl<'u> Address<'u> {
    /// Reads `http(s)://<service>[.<namespace>[.svc[.<domain>]]][:<port>]…`.
    ///
    /// Returns `None` for any other URL, such as one with a variable as its host: `http://${NODE_IP}`. A host with two
    /// labels may also be a host on the internet, depending on which Services exist.
    fn of(url: &'u Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let is_in_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.');
        let host = url.domain().filter(|host| host.chars().all(is_in_name))?;
        let mut labels = host.split('.');
        let service = labels.next().filter(|label| *label != "localhost")?;
        let namespace = labels.next();
        if labels.next().is_some_and(|label| label != "svc") {
            return None;
        }
        Some(Self {
            service,
            namespace,
            port: url.port_or_known_default()?,
        })
    }
}

/// Checks a URL whose host looks like that of a Service. If there is no such Service, and the host doesn't name the
/// cell's namespace, the host may be something else and isn't checked.
fn check_url(field: &str, url: &str, address: &Address<'_>, findings: &mut Findings<'_>) {
    let deployed = findings.deployed;
    if !deployed.is_complete {
        return;
    }
    let service = deployed.object("Service", address.service);
    let is_ours = address
        .namespace
        .is_none_or(|namespace| namespace == deployed.namespace);
    let mut ports = service
        .into_iter()
        .flat_map(|service| items(&service.value["spec"]["ports"]));
    let has_port = ports.any(|port| port["port"] == address.port);
    let message = match (service, is_ours) {
        (None, false) => return,
        (None, true) => format!(
            "`{url}` refers to the Service `{}`, which the manifests don't define",
            address.service
        ),
        (Some(_), false) => format!("`{url}` refers to a namespace other than the cell's"),
        (Some(_), true) if has_port => return,
        (Some(_), true) => format!(
            "`{url}` refers to port {}, which the Service does not have",
            address.port
        ),
    };
    let remedy = format!(
        "use a host such as `{}.{}` with a port of the Service",
        names::MOCK,
        deployed.namespace
    );
    findings.add(field, message, remedy);
}
