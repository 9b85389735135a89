//! Writes the agent's configuration to the ConfigMap that the agent's pods use.

use std::collections::BTreeSet;

use serde_json::{Map, json};

use super::agent_pod::AgentPod;
use super::check::{Keys, Reference};
use super::supply::{full_name, position, set_entry};
use super::{Inputs, ManifestProblem, Object, Place, names, only};
use crate::matrix::nearest::quoted;

/// The location of the agent's configuration.
pub(super) struct ConfigPlace {
    /// The name of the ConfigMap.
    pub(super) name: String,
    /// Its key.
    pub(super) key: String,
}

/// Writes the configuration `text` to the ConfigMap that the agent's pods use. Adds the ConfigMap if the manifests don't
/// have it. If it isn't clear which ConfigMap or key is meant, changes nothing and adds a notice. If the user names a key
/// that doesn't exist, adds a problem.
pub(super) fn supply(
    objects: &mut Vec<Object>,
    pod: &AgentPod,
    inputs: &Inputs<'_>,
    text: &str,
    notices: &mut Vec<String>,
    problems: &mut Vec<ManifestProblem>,
) -> Option<ConfigPlace> {
    let find = |name: &str| position(objects, "ConfigMap", name, inputs.namespace);
    let standard = full_name(objects, "ConfigMap", names::CONFIG_MAP, inputs.namespace);
    let references = pod.references("ConfigMap");
    let found = choose(&references, &standard, inputs, |name| find(name).is_some());
    let name = found.map_err(|notice| notices.push(notice)).ok()?;
    let index = find(name);
    let data = index.and_then(|index| objects[index].value["data"].as_object());
    let keys = data.into_iter().flat_map(Map::keys);
    let keys: Vec<&str> = keys.map(String::as_str).collect();
    let key = match inputs.config_key {
        Some(key) if keys.is_empty() || keys.contains(&key) => key.to_owned(),
        Some(key) => {
            let message = format!("has no key `{key}`");
            let remedy = format!("set `config-key` in `[deploy]` to one of {}", quoted(keys));
            let place = objects[index?].place("data");
            problems.push(ManifestProblem::new(place, message, remedy));
            return None;
        }
        None => {
            let key = usual_key(name, &keys, pod);
            key.map_err(|notice| notices.push(notice)).ok()?
        }
    };
    let index = index.unwrap_or_else(|| {
        notices.push(format!(
            "the manifests have no ConfigMap {name}: the run adds it with the agent's configuration"
        ));
        objects.push(Object::generated(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": inputs.namespace },
        })));
        objects.len() - 1
    });
    let config_map = &mut objects[index];
    set_entry(&mut config_map.value, &key, json!(text));
    // The ConfigMap's content no longer comes from the file.
    config_map.source = Place::generated();
    let name = name.to_owned();
    Some(ConfigPlace { name, key })
}

/// The end of notices.
const EFFECT: &str = "do not get the configuration from the matrix";

/// The name of the ConfigMap: `standard` if the pod reads it, or if it is defined and the pod doesn't refer to it.
/// Otherwise the only ConfigMap that the pod reads and needs but that isn't defined, or else the only one that is
/// defined, or else the only one. Otherwise returns a notice.
fn choose<'r>(
    references: &[Reference<'r>],
    standard: &'r str,
    inputs: &Inputs<'_>,
    is_defined: impl Fn(&str) -> bool,
) -> Result<&'r str, String> {
    if is_defined(standard) && references.iter().all(|it| it.name != standard) {
        return Ok(standard);
    }
    let wanted = inputs.config_key.unwrap_or(names::CONFIG_KEY);
    let is_read = |it: &&Reference<'_>| match it.keys {
        Keys::Files { .. } => true,
        // Variables rarely contain the configuration, so the key has to be the right one.
        Keys::Variable(key) => key == wanted,
        Keys::Variables => false,
    };
    let read: Vec<&Reference<'r>> = references.iter().filter(is_read).collect();
    let names_of = |is_it: &dyn Fn(&Reference<'_>) -> bool| -> BTreeSet<&'r str> {
        let references = read.iter().filter(|it| is_it(it));
        references.map(|it| it.name).collect()
    };
    let missing = names_of(&|it| it.is_required() && !is_defined(it.name));
    let defined = names_of(&|it| is_defined(it.name));
    let all = names_of(&|_| true);
    if all.contains(standard) {
        return Ok(standard);
    }
    let sets = [&missing, &defined, &all];
    let name = sets.iter().find_map(|set| only(set.iter().copied()));
    name.ok_or_else(|| {
        let all: Vec<&str> = all.iter().copied().collect();
        if all.is_empty() {
            return format!("the agent's pods mount no ConfigMap, so they {EFFECT}");
        }
        format!(
            "the agent's pods mount several ConfigMaps ({}), so they {EFFECT}: rename the one with the agent's \
             configuration to {}",
            all.join(", "),
            names::CONFIG_MAP
        )
    })
}

/// The key if the user doesn't name it: `config.yaml` if it is one of `keys`. Otherwise the only key, or else the only one
/// that the agent reads. If that isn't clear, a ConfigMap without keys gets `config.yaml`; otherwise returns a notice.
fn usual_key(name: &str, keys: &[&str], pod: &AgentPod) -> Result<String, String> {
    let standard = names::CONFIG_KEY;
    let key = match keys {
        [key] => Some((*key).to_owned()),
        keys if keys.contains(&standard) => Some(standard.to_owned()),
        keys => {
            let is_known = |key: &&String| keys.is_empty() || keys.contains(&key.as_str());
            let read = pod.keys_read(name);
            let mut sets = read.iter();
            let key = sets.find_map(|set| only(set.iter().filter(is_known)).cloned());
            key.or_else(|| keys.is_empty().then(|| standard.to_owned()))
        }
    };
    key.ok_or_else(|| {
        format!(
            "the ConfigMap {name} has several keys ({}), and none of them is {standard}, so the agent's pods {EFFECT}: set \
             `config-key` in `[deploy]` to the key of the agent's configuration",
            keys.join(", ")
        )
    })
}
