//! A rendered deployment: complete, checked, and in order.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodTemplateSpec, Service};
use serde_json::Value;

use super::{Object, Rank, mask};
use crate::secret::{Mask, Secret};

/// The objects of one cell. Only [`super::render()`] creates this type, so the objects are consistent.
pub struct Rendered {
    pub(super) namespace: String,
    pub(super) steps: BTreeMap<Rank, Vec<Object>>,
    pub(super) agent: Agent,
    pub(super) mock: Mock,
    pub(super) agent_config: Value,
    pub(super) notices: Vec<String>,
    pub(super) token: Secret,
}

/// The agent, according to its manifests.
#[derive(Clone)]
pub struct Agent {
    /// The DaemonSet, patched.
    pub daemon_set: DaemonSet,
    /// The container that runs the agent.
    pub container: String,
    /// The name of its ServiceAccount.
    pub account: String,
}

/// The mock, according to its manifests.
#[derive(Clone)]
pub struct Mock {
    /// The Deployment, patched.
    pub deployment: Deployment,
    /// The Service of the mock.
    pub service: Service,
    /// The container that runs the mock.
    pub container: String,
    /// The name of its ServiceAccount.
    pub account: String,
}

impl Rendered {
    /// The cell's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The objects of each rank that has any, in the order of application.
    pub fn steps(&self) -> &BTreeMap<Rank, Vec<Object>> {
        &self.steps
    }

    /// Every object, in the order of application.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.steps.values().flatten()
    }

    /// The paths on nodes that the objects use, without duplicates.
    pub fn host_paths(&self) -> Vec<String> {
        let paths: BTreeSet<&str> = self.objects().flat_map(Object::host_paths).collect();
        paths.into_iter().map(str::to_owned).collect()
    }

    /// The object with this kind and name that is cluster-scoped or in the cell's namespace.
    pub fn object(&self, kind: &str, name: &str) -> Option<&Object> {
        let mut objects = self.objects();
        objects.find(|object| object.is(kind, name) && object.is_in(&self.namespace))
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The mock.
    pub fn mock(&self) -> &Mock {
        &self.mock
    }

    /// The container that runs the agent.
    pub fn agent_container(&self) -> Option<&Container> {
        container(&self.agent.daemon_set.spec.template, &self.agent.container)
    }

    /// The container that runs the mock.
    pub fn mock_container(&self) -> Option<&Container> {
        container(&self.mock.deployment.spec.template, &self.mock.container)
    }

    /// The agent's configuration, including the variant's values.
    pub fn agent_config(&self) -> &Value {
        &self.agent_config
    }

    /// The environment of the agent's container, in order: the name of each variable, and its value or the value's
    /// source.
    pub fn agent_environment(&self) -> Vec<(String, String)> {
        let agent = self.agent_container().into_iter();
        let variables = agent.flat_map(|agent| agent.env.iter().flatten());
        variables
            .map(|variable| (variable.name.clone(), environment_value(variable)))
            .collect()
    }

    /// Notices, for example about objects that the run added to the manifests.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// All secrets: the content of every Secret, and the values of variables and configuration keys with secret names.
    pub fn secrets(&self) -> Vec<Secret> {
        let mut secrets = mask::secrets(self.objects(), &self.agent_config);
        secrets.push(self.token.clone());
        secrets
    }

    /// A file with the objects of each rank: its name and YAML, with everything in `mask` and the content of every
    /// Secret masked.
    pub fn masked_yaml(&self, mask: &Mask) -> Vec<(String, String)> {
        let steps = self.steps.iter();
        steps
            .map(|(rank, objects)| (rank.file_name(), mask::yaml(objects, mask)))
            .collect()
    }
}

fn container<'t>(template: &'t PodTemplateSpec, name: &str) -> Option<&'t Container> {
    let containers = &template.spec.as_ref()?.containers;
    containers.iter().find(|container| container.name == name)
}

/// The value of a variable, or the value's source.
fn environment_value(variable: &EnvVar) -> String {
    let source = variable.value_from.clone().unwrap_or_default();
    if let Some(field) = source.field_ref {
        format!("field {}", field.field_path)
    } else if let Some(key) = source.secret_key_ref {
        format!("key {} of Secret {}", key.key, key.name)
    } else if let Some(key) = source.config_map_key_ref {
        format!("key {} of ConfigMap {}", key.key, key.name)
    } else if let Some(resource) = source.resource_field_ref {
        format!("resource {}", resource.resource)
    } else {
        variable.value.clone().unwrap_or_default()
    }
}
