//! Checks the objects of a deployment and the relations between them. A cluster would report their problems late, and
//! one at a time.

mod network;
mod pod;
mod quantity;
mod rbac;
mod reference;
mod workload;

use std::collections::HashSet;

use serde_json::Value;

use super::config_map::ConfigPlace;
use super::{ManifestProblem, Object, strict};

pub(super) use reference::{CLUSTER_CERTIFICATES, Keys, Reference, account, references};

/// The maximum number of objects of a deployment.
pub(super) const MAX_OBJECTS: usize = 500;

/// A deployment to check.
pub(super) struct Deployed<'a> {
    /// The cell's namespace.
    pub(super) namespace: &'a str,
    /// The agent's DaemonSet, if it was found.
    pub(super) agent: Option<&'a Object>,
    /// Every object, in order.
    pub(super) objects: Vec<&'a Object>,
    /// The agent's configuration.
    pub(super) agent_config: &'a Value,
    /// The location of the agent's configuration, if the agent's pods use it.
    pub(super) config_place: Option<&'a ConfigPlace>,
    /// The name of the mock's Service.
    pub(super) mock_service: &'a str,
    /// Whether all manifests could be read. If not, a missing object may be in a manifest that couldn't be read.
    pub(super) is_complete: bool,
}

impl Deployed<'_> {
    /// Whether an object exists, or may exist in a manifest that couldn't be read.
    fn has(&self, kind: &str, name: &str) -> bool {
        !self.is_complete || self.object(kind, name).is_some()
    }

    fn object(&self, kind: &str, name: &str) -> Option<&Object> {
        let mut objects = self.objects.iter().copied();
        objects.find(|object| object.is(kind, name) && object.is_in(self.namespace))
    }

    fn of_kind<'k>(&'k self, kind: &'k str) -> impl Iterator<Item = &'k Object> {
        let objects = self.objects.iter().copied();
        objects.filter(move |object| object.kind == kind)
    }
}

/// Collects the problems in one object of a deployment.
struct Findings<'a> {
    deployed: &'a Deployed<'a>,
    object: &'a Object,
    problems: &'a mut Vec<ManifestProblem>,
}

impl Findings<'_> {
    fn add(&mut self, field: &str, message: impl Into<String>, remedy: impl Into<String>) {
        let place = self.object.place(field);
        self.problems
            .push(ManifestProblem::new(place, message, remedy));
    }

    /// Checks that the ServiceAccount `name`, to which `field` refers, exists. Every namespace has the ServiceAccount
    /// `default`.
    fn service_account(&mut self, field: &str, name: &str) {
        if name != "default" && !self.deployed.has("ServiceAccount", name) {
            self.add(
                field,
                format!("refers to the ServiceAccount `{name}`, which the manifests don't define"),
                "refer to an object that the manifests define, or add the missing one",
            );
        }
    }

    /// Whether the object is in a namespace other than the cell's. That namespace may contain objects that the
    /// manifests don't define.
    fn is_elsewhere(&self) -> bool {
        !self.object.is_in(self.deployed.namespace)
    }

    /// The object as its Kubernetes type. Reports a value of the wrong type.
    fn decode<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        self.ok_or_report(Object::decode)
    }

    /// The result of `read`. If `read` fails, returns `None` and reports the problem, unless this problem is already
    /// reported.
    fn ok_or_report<T>(
        &mut self,
        read: impl Fn(&Object) -> Result<T, ManifestProblem>,
    ) -> Option<T> {
        read(self.object)
            .map_err(|problem| {
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
            })
            .ok()
    }
}

/// All problems, in the order of the objects.
pub(super) fn all(deployed: &Deployed<'_>) -> Vec<ManifestProblem> {
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    for object in &deployed.objects {
        let mut findings = Findings {
            deployed,
            object,
            problems: &mut problems,
        };
        let key = (&object.api_version, &object.kind, &object.name);
        if !seen.insert((key, &object.namespace)) {
            findings.add("", "is defined twice", "keep one of the two, or rename one");
        }
        findings.problems.extend(strict::unknown_fields(object));
        match object.kind.as_str() {
            "DaemonSet" => workload::daemon_set(&mut findings),
            "Deployment" => workload::deployment(&mut findings),
            "Service" => network::service(&mut findings),
            "ClusterRoleBinding" | "RoleBinding" => rbac::binding(&mut findings),
            "ClusterRole" | "Role" => rbac::role(&mut findings),
            "ConfigMap" => network::agent_config(&mut findings),
            _ => {}
        }
    }
    problems
}

/// Notices about objects that may be used by something that isn't in the manifests.
pub(super) fn notices(deployed: &Deployed<'_>) -> impl Iterator<Item = String> {
    let roles = deployed.offered_roles().map(|role| {
        let place = role.place("");
        format!("{place} is a role that no binding uses, so the agent runs without it")
    });
    let services = deployed.services_without_pods().map(|service| {
        let place = service.place("spec.selector");
        format!("{place} selects no pod in the manifests")
    });
    roles.chain(services)
}
