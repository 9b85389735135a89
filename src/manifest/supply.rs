//! The objects that a run changes in the manifests, or adds if they are missing: the cell's namespace, the bootstrap
//! token, the agent's configuration, and the definitions of resources in the agent's roles.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};

use super::check::{CLUSTER_CERTIFICATES, Reference, references};
use super::patch::{self, subtable, table};
use super::{Object, Place, document, items, names, only};
use crate::secret::Secret;

/// Renames the manifests' own namespace to `name`, and keeps its labels. If there is none, adds a namespace that allows
/// the agent to use the node's network.
pub(super) fn namespace(objects: &mut Vec<Object>, home: &str, name: &str) {
    let own = objects.iter_mut().find(|it| it.is("Namespace", home));
    if let Some(own) = own {
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

    /// The objects of `kind` with references that meet `condition`, and the keys that these references name. Leaves out
    /// the cluster's certificates, which Kubernetes itself creates.
    fn objects(&self, kind: &str, condition: impl Fn(&Reference<'_>) -> bool) -> Referenced<'_> {
        let mut objects: Referenced<'_> = BTreeMap::new();
        for reference in references("", &self.pod) {
            let is_supplied = reference.kind == kind && reference.name != CLUSTER_CERTIFICATES;
            if is_supplied && condition(&reference) {
                let keys = objects.entry(reference.name).or_default();
                keys.extend(reference.keys.into_iter().flatten());
            }
        }
        objects
    }

    /// The name of the `ConfigMap` for the agent's configuration: `standard` if it is one of `candidates`, or if it is
    /// defined and the pod doesn't refer to it. Otherwise the only candidate that the pod needs but that isn't defined,
    /// or else the only one that is defined, or else the only candidate.
    fn config_map<'r>(
        &self,
        standard: &'r str,
        candidates: &Referenced<'r>,
        is_defined: impl Fn(&str) -> bool,
    ) -> Option<&'r str> {
        let all = self.objects("ConfigMap", |_| true);
        let is_free = is_defined(standard) && !all.contains_key(standard);
        if is_free || candidates.contains_key(standard) {
            return Some(standard);
        }
        let needed = self.objects("ConfigMap", |it| may_be_config(it) && it.is_required());
        let is_missing = |name: &&&str| needed.contains_key(**name) && !is_defined(name);
        let missing = candidates.keys().filter(is_missing);
        let defined = candidates.keys().filter(|name| is_defined(name));
        let name = only(missing).or_else(|| only(defined));
        name.or_else(|| only(candidates.keys())).copied()
    }
}

/// Objects that a pod refers to: the keys that its references name, by the name of the object.
type Referenced<'r> = BTreeMap<&'r str, BTreeSet<&'r str>>;

/// Whether a `ConfigMap` with this reference may be for the agent's configuration. Variables rarely contain it, so a
/// variable's key must be `config.yaml`.
fn may_be_config(reference: &Reference<'_>) -> bool {
    let mut keys = reference.keys.iter().flatten();
    reference.is_file || keys.any(|key| *key == names::CONFIG_KEY)
}

fn position(objects: &[Object], kind: &str, name: &str, namespace: &str) -> Option<usize> {
    let is_it = |object: &Object| object.is(kind, name) && object.is_in(namespace);
    objects.iter().position(is_it)
}

/// The name of the object called `name` in the manifests. If kustomize generates the object, it appends a hash.
fn full_name(objects: &[Object], kind: &str, name: &str, namespace: &str) -> String {
    let objects = objects
        .iter()
        .filter(|it| it.kind == kind && it.is_in(namespace));
    let is_called = |full: &&str| {
        let rest = full.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(is_hash))
    };
    let names = objects.map(|it| it.name.as_str()).filter(is_called);
    // The name without a hash is the smallest.
    names.min().unwrap_or(name).to_owned()
}

/// Whether `text` looks like a hash from kustomize: ten hexadecimal digits, with `0`, `1`, `3`, `a` and `e` replaced by
/// `g`, `h`, `k`, `m` and `t`, so that they form no words.
fn is_hash(text: &str) -> bool {
    text.len() == 10 && text.chars().all(|c| "2456789bcdfghkmt".contains(c))
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
    let exists = |name: &str| {
        let is_created = || objects.iter().any(|it| it.creates_secret(name));
        position(objects, "Secret", name, namespace).is_some()
            || name != names::BOOTSTRAP_SECRET && is_created()
    };
    let standard = full_name(objects, "Secret", names::BOOTSTRAP_SECRET, namespace);
    if let Some(index) = position(objects, "Secret", &standard, namespace) {
        let secret = &mut objects[index].value;
        if let Some(texts) = table(secret, "/stringData") {
            texts.remove(names::BOOTSTRAP_KEY);
        }
        set_entry(secret, names::BOOTSTRAP_KEY, token);
        return None;
    }
    // The pod starts without an optional Secret, which may be for something else.
    let is_wanted = |it: &Reference<'_>| {
        let is_needed = it.is_required() || it.name == names::BOOTSTRAP_SECRET;
        is_needed && it.keys.is_some() && !exists(it.name)
    };
    let missing = references?.objects("Secret", is_wanted);
    let (name, mut keys) = only(missing.into_iter())?;
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
/// don't have it. If the `ConfigMap` or its key isn't known, changes nothing and adds a notice.
pub(super) fn agent_config(
    objects: &mut Vec<Object>,
    references: &PodReferences,
    namespace: &str,
    text: &str,
    notices: &mut Vec<String>,
) -> Option<ConfigPlace> {
    let find = |name: &str| position(objects, "ConfigMap", name, namespace);
    let candidates = references.objects("ConfigMap", may_be_config);
    let standard = full_name(objects, "ConfigMap", names::CONFIG_MAP, namespace);
    let name = references.config_map(&standard, &candidates, |name| find(name).is_some());
    let Some(name) = name else {
        notices.push(no_config_map(&candidates));
        return None;
    };
    let index = find(name);
    let keys = candidates.get(name).into_iter().flatten().copied();
    let key = match index {
        Some(index) => config_key(&objects[index], keys),
        None => Ok(keys.min().unwrap_or(names::CONFIG_KEY).to_owned()),
    };
    let key = key.map_err(|notice| notices.push(notice)).ok()?;
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
    Some(ConfigPlace {
        name: name.to_owned(),
        key,
    })
}

/// The notice that the agent's pods have no `ConfigMap`, or several, that may be for the agent's configuration.
fn no_config_map(candidates: &Referenced<'_>) -> String {
    let effect = "so they do not get the configuration from the matrix";
    if candidates.is_empty() {
        return format!("the agent's pods mount no ConfigMap, {effect}");
    }
    let all: Vec<&str> = candidates.keys().copied().collect();
    format!(
        "the agent's pods mount several ConfigMaps ({}), {effect}: rename the one with the agent's configuration to {}",
        all.join(", "),
        names::CONFIG_MAP
    )
}

/// The key for the configuration: `config.yaml` if the `ConfigMap` has this key or none at all. Otherwise its only key,
/// or else the only one of `named`, the keys that the agent's pods name. Otherwise returns a notice.
fn config_key<'k>(
    config_map: &Object,
    named: impl Iterator<Item = &'k str>,
) -> Result<String, String> {
    let standard = names::CONFIG_KEY;
    let data = config_map.value.get("data").and_then(Value::as_object);
    let Some(data) = data.filter(|data| !data.is_empty() && !data.contains_key(standard)) else {
        return Ok(standard.to_owned());
    };
    let key = only(data.keys().map(String::as_str));
    let key = key.or_else(|| only(named).filter(|key| data.contains_key(*key)));
    key.map(str::to_owned).ok_or_else(|| {
        let all: Vec<&str> = data.keys().map(String::as_str).collect();
        format!(
            "the ConfigMap {} has several keys ({}), and none of them is {standard}, so the agent's pods do not get \
             the configuration from the matrix: rename the key with the agent's configuration to {standard}",
            config_map.name,
            all.join(", ")
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
