//! The objects that a run changes in the manifests, or adds if they are missing: the cell's namespace, the bootstrap
//! token, the agent's configuration, and the definitions of resources in the agent's roles.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Map, Value, json};

use super::check::{CLUSTER_CERTIFICATES, Reference, references};
use super::patch::{self, subtable, table};
use super::{ManifestProblem, Object, Place, document, items, names, only};
use crate::secret::Secret;

/// Renames the manifests' own namespace to `name`, and keeps its labels. If there is none, adds a namespace that allows
/// the agent to use the node's network.
pub(super) fn namespace(objects: &mut Vec<Object>, home: Option<&str>, name: &str) {
    let own = |object: &&mut Object| object.kind == "Namespace" && Some(&*object.name) == home;
    if let Some(own) = objects.iter_mut().find(own) {
        patch::rename(own, name);
        return;
    }
    objects.push(Object::generated(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": { "pod-security.kubernetes.io/enforce": "privileged" },
        },
    })));
}

/// The agent pod's references to Secrets and `ConfigMaps`.
pub(super) struct PodReferences {
    pod: PodSpec,
}

impl PodReferences {
    /// Reads the pod of `daemon_set`; `None` if it has none, which the checks report.
    pub(super) fn of(daemon_set: &Object) -> Option<Self> {
        let typed: DaemonSet = daemon_set.decode().ok()?;
        let pod = typed.spec.template.spec?;
        Some(Self { pod })
    }

    /// The references to objects of `kind` that name single keys, or use keys as files. Kubernetes itself creates the
    /// cluster's certificates.
    fn by_key(&self, kind: &'static str) -> impl Iterator<Item = Reference<'_>> {
        let all = references("", &self.pod).into_iter();
        all.filter(move |it| {
            it.kind == kind && it.keys.is_some() && it.name != CLUSTER_CERTIFICATES
        })
    }

    /// The only object of `kind` that is referred to by key and meets `condition`.
    fn only(&self, kind: &'static str, condition: impl Fn(&str) -> bool) -> Option<String> {
        let names = self.by_key(kind).map(|reference| reference.name);
        let names: BTreeSet<&str> = names.filter(|name| condition(name)).collect();
        only(names.into_iter()).map(str::to_owned)
    }

    fn keys(&self, kind: &'static str, name: &str) -> BTreeSet<&str> {
        let named = self.by_key(kind).filter(|reference| reference.name == name);
        named
            .filter_map(|reference| reference.keys)
            .flatten()
            .collect()
    }
}

fn position(objects: &[Object], kind: &str, name: &str, namespace: &str) -> Option<usize> {
    let is_it = |object: &Object| object.is(kind, name) && object.is_in(namespace);
    objects.iter().position(is_it)
}

/// Writes the bootstrap token to its Secret. If the agent needs a Secret that the manifests don't have, adds it and
/// returns a notice.
pub(super) fn bootstrap_secret(
    objects: &mut Vec<Object>,
    references: Option<&PodReferences>,
    namespace: &str,
    token: &Secret,
) -> Option<String> {
    let token = json!(STANDARD.encode(token.expose()));
    let exists = |name: &str| position(objects, "Secret", name, namespace).is_some();
    if let Some(index) = position(objects, "Secret", names::BOOTSTRAP_SECRET, namespace) {
        let secret = &mut objects[index].value;
        if let Some(texts) = table(secret, "/stringData") {
            texts.remove(names::BOOTSTRAP_KEY);
        }
        set_entry(secret, names::BOOTSTRAP_KEY, token);
        return None;
    }
    let references = references?;
    let name = references.only("Secret", |name| !exists(name))?;
    let mut keys = references.keys("Secret", &name);
    if keys.is_empty() {
        keys.insert(names::BOOTSTRAP_KEY);
    }
    let data: BTreeMap<&str, &Value> = keys.into_iter().map(|key| (key, &token)).collect();
    objects.push(Object::generated(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": namespace },
        "type": "Opaque",
        "data": data,
    })));
    Some(format!(
        "the manifests have no Secret {name}: the run adds it with the bootstrap token"
    ))
}

/// The location of the agent's configuration.
pub(super) struct ConfigPlace {
    /// The name of the `ConfigMap`.
    pub(super) name: String,
    /// Its key.
    pub(super) key: String,
}

/// Writes the agent's configuration to the `ConfigMap` that the agent's pods use. Adds the `ConfigMap` if the manifests
/// don't have it.
///
/// # Errors
/// Fails if the `ConfigMap` has several keys and none of them is `config.yaml`.
pub(super) fn agent_config(
    objects: &mut Vec<Object>,
    references: &PodReferences,
    namespace: &str,
    text: &str,
    notices: &mut Vec<String>,
) -> Result<Option<ConfigPlace>, ManifestProblem> {
    let find = |name: &str| position(objects, "ConfigMap", name, namespace);
    let standard = Some(names::CONFIG_MAP.to_owned());
    let name = standard
        .filter(|name| find(name).is_some())
        .or_else(|| references.only("ConfigMap", |name| find(name).is_none()))
        .or_else(|| references.only("ConfigMap", |_| true));
    let Some(name) = name else {
        notices.push(
            "the agent's pods use no ConfigMap, so they do not get the configuration of the matrix"
                .to_owned(),
        );
        return Ok(None);
    };
    let index = find(&name);
    let key = if let Some(index) = index {
        config_key(&objects[index])?
    } else {
        let mut keys = references.keys("ConfigMap", &name);
        keys.pop_first().unwrap_or(names::CONFIG_KEY).to_owned()
    };
    let index = index.unwrap_or_else(|| {
        notices.push(format!(
            "the manifests have no ConfigMap {name}: the run adds it with the agent's configuration"
        ));
        objects.push(Object::generated(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": namespace },
        })));
        objects.len() - 1
    });
    let config_map = &mut objects[index];
    set_entry(&mut config_map.value, &key, json!(text));
    // The ConfigMap's content no longer comes from the file.
    config_map.source = Place::generated();
    Ok(Some(ConfigPlace { name, key }))
}

fn config_key(config_map: &Object) -> Result<String, ManifestProblem> {
    let data = config_map.value.get("data").and_then(Value::as_object);
    if data.is_none_or(|data| data.is_empty() || data.contains_key(names::CONFIG_KEY)) {
        return Ok(names::CONFIG_KEY.to_owned());
    }
    let keys = data.into_iter().flat_map(Map::keys);
    only(keys).cloned().ok_or_else(|| {
        let standard = names::CONFIG_KEY;
        ManifestProblem::new(
            config_map.place("data"),
            format!("has several keys, and none of them is `{standard}`"),
            format!("rename the key with the agent's configuration to `{standard}`"),
        )
    })
}

fn set_entry(object: &mut Value, key: &str, value: Value) {
    if let Some(data) = table(object, "").and_then(|object| subtable(object, "data")) {
        data.insert(key.to_owned(), value);
    }
}

/// The built-in definitions.
const DEFINITIONS: [&str; 2] = [
    include_str!("../../deploy/kubernetes/crds/plexdnodestate-crd.yaml"),
    include_str!("../../deploy/kubernetes/crds/plexdhook-crd.yaml"),
];

/// Adds the built-in definitions of resources that roles name but the manifests don't define.
pub(super) fn definitions(objects: &mut Vec<Object>, notices: &mut Vec<String>) {
    let named: BTreeSet<String> = objects.iter().flat_map(named_resources).collect();
    for text in DEFINITIONS {
        for mut definition in document::read("", text, &mut Vec::new()) {
            let is_defined = objects
                .iter()
                .any(|object| object.is(&definition.kind, &definition.name));
            if !is_defined && named.contains(&definition.name) {
                notices.push(format!(
                    "a role refers to {0}, which the manifests do not define: the run adds the built-in definition",
                    definition.name
                ));
                definition.source = Place::generated();
                objects.push(definition);
            }
        }
    }
}

/// The resources that a role names, in the form of definition names: `<plural>.<group>`.
fn named_resources(object: &Object) -> Vec<String> {
    let mut named = Vec::new();
    if matches!(object.kind.as_str(), "Role" | "ClusterRole") {
        for rule in items(&object.value["rules"]) {
            for group in texts(&rule["apiGroups"]) {
                named.extend(texts(&rule["resources"]).map(|resource| {
                    let plural = resource.split('/').next().unwrap_or_default();
                    format!("{plural}.{group}")
                }));
            }
        }
    }
    named
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).filter_map(Value::as_str)
}
