//! The objects that a run changes in the manifests, or adds if they are missing: the cell's namespace, the bootstrap
//! token, and the definitions of resources in the agent's roles. `config_map.rs` supplies the agent's configuration.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::agent_pod::AgentPod;
use super::check::{Keys, Reference};
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

/// The index of an object, if there is one.
pub(super) fn position(
    objects: &[Object],
    kind: &str,
    name: &str,
    namespace: &str,
) -> Option<usize> {
    let is_it = |object: &Object| object.is(kind, name) && object.is_in(namespace);
    objects.iter().position(is_it)
}

/// The name of the object called `name` in the manifests. If kustomize generates the object, it appends a hash.
pub(super) fn full_name(objects: &[Object], kind: &str, name: &str, namespace: &str) -> String {
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
    pod: Option<&AgentPod>,
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
    let is_wanted = |it: &&Reference<'_>| {
        let is_needed = it.is_required() || it.name == names::BOOTSTRAP_SECRET;
        is_needed && !matches!(it.keys, Keys::Variables) && !exists(it.name)
    };
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for it in pod?.references("Secret").iter().filter(is_wanted) {
        missing.entry(it.name).or_default().extend(it.named_keys());
    }
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

/// Adds an entry to the data of a Secret or ConfigMap. Replaces an existing one.
pub(super) fn set_entry(object: &mut Value, key: &str, value: Value) {
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
    for text in DEFINITIONS {
        for mut definition in document::read("", text, &mut Vec::new()) {
            let mut others = objects.iter();
            let is_defined = others.any(|it| it.is(&definition.kind, &definition.name));
            if !is_defined && objects.iter().any(|it| is_role_for(it, &definition)) {
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

/// Whether the object is a role that names the resources of `definition`.
fn is_role_for(object: &Object, definition: &Object) -> bool {
    let is_role = matches!(object.kind.as_str(), "Role" | "ClusterRole");
    let (group, plural) = (
        &definition.value["spec"]["group"],
        &definition.value["spec"]["names"]["plural"],
    );
    let mut rules = items(&object.value["rules"]);
    is_role
        && rules.any(|rule| {
            let resources = items(&rule["resources"]).filter_map(Value::as_str);
            let mut resources = resources.map(|it| it.split('/').next());
            items(&rule["apiGroups"]).any(|it| it == group)
                && resources.any(|it| it == plural.as_str())
        })
}
