//! The changes that a run makes to an object. They are applied to the parsed document, so all other fields are
//! preserved.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Object, PullPolicy};

/// Moves an object to `namespace`, unless it is cluster-scoped.
pub(super) fn set_namespace(object: &mut Object, namespace: &str) {
    if !object.is_namespaced() {
        return;
    }
    if let Some(metadata) = table(&mut object.value, "/metadata") {
        metadata.insert("namespace".to_owned(), json!(namespace));
        object.namespace = Some(namespace.to_owned());
    }
}

/// Renames a namespace.
pub(super) fn rename(object: &mut Object, name: &str) {
    if let Some(metadata) = table(&mut object.value, "/metadata") {
        metadata.insert("name".to_owned(), json!(name));
        name.clone_into(&mut object.name);
    }
}

/// Moves an object's references to `namespace` if `is_home` accepts their current namespace: the subjects of a binding,
/// and the Services of webhooks, of an `APIService`, and of the conversion of custom resources. All other references are
/// preserved.
pub(super) fn set_references(
    object: &mut Object,
    namespace: &str,
    is_home: impl Fn(Option<&str>) -> bool,
) {
    let value = &mut object.value;
    match object.kind.as_str() {
        "ClusterRoleBinding" | "RoleBinding" => {
            for subject in tables(value, "/subjects") {
                set_subject(subject, namespace, &is_home);
            }
        }
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            for webhook in tables(value, "/webhooks") {
                let config = webhook.get_mut("clientConfig");
                let service = config.and_then(|config| table(config, "/service"));
                set_reference(service, namespace, &is_home);
            }
        }
        "APIService" => set_reference(table(value, "/spec/service"), namespace, &is_home),
        "CustomResourceDefinition" => {
            let service = table(value, "/spec/conversion/webhook/clientConfig/service");
            set_reference(service, namespace, &is_home);
        }
        _ => {}
    }
}

fn set_subject(
    subject: &mut Map<String, Value>,
    namespace: &str,
    is_home: &impl Fn(Option<&str>) -> bool,
) {
    match subject.get("kind").and_then(Value::as_str) {
        Some("ServiceAccount") => set_reference(Some(subject), namespace, is_home),
        Some("User" | "Group") => {
            let name = subject.get("name").and_then(Value::as_str);
            let mut parts: Vec<&str> = name.unwrap_or_default().split(':').collect();
            // The user of a ServiceAccount, or the group of all `ServiceAccounts` in a namespace.
            if let ["system", "serviceaccount" | "serviceaccounts", current, ..] = parts[..]
                && is_home(Some(current))
            {
                parts[2] = namespace;
                let name = json!(parts.join(":"));
                subject.insert("name".to_owned(), name);
            }
        }
        _ => {}
    }
}

fn set_reference(
    reference: Option<&mut Map<String, Value>>,
    namespace: &str,
    is_home: &impl Fn(Option<&str>) -> bool,
) {
    let Some(reference) = reference else { return };
    let current = reference.get("namespace").and_then(Value::as_str);
    if is_home(current) {
        reference.insert("namespace".to_owned(), json!(namespace));
    }
}

/// Sets the image of the container at `index`, and of all other containers in the pod with the same image.
pub(super) fn set_image(object: &mut Object, index: usize, image: &str, policy: PullPolicy) {
    // Returns the previous image.
    let set = |container: &mut Map<String, Value>| {
        container.insert("imagePullPolicy".to_owned(), json!(policy.name()));
        container.insert("image".to_owned(), json!(image))
    };
    let container = table(&mut object.value, &format!("{CONTAINERS}/{index}"));
    let Some(original) = container.and_then(set) else {
        return;
    };
    for_each_container(object, |container| {
        if container.get("image") == Some(&original) {
            set(container);
        }
    });
}

/// Adds environment variables to the container at `index`. An existing variable is replaced in place.
pub(super) fn set_env(object: &mut Object, index: usize, env: &BTreeMap<String, String>) {
    let container = table(&mut object.value, &format!("{CONTAINERS}/{index}"));
    let Some(container) = container.filter(|_| !env.is_empty()) else {
        return;
    };
    let list = container.entry("env").or_insert(Value::Null);
    if list.is_null() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for (name, value) in env {
        let variable = json!({ "name": name, "value": value });
        let has_name = |known: &&mut Value| known.get("name") == variable.get("name");
        match list.iter_mut().find(has_name) {
            Some(known) => *known = variable,
            None => list.push(variable),
        }
    }
}

/// Removes the probes of all containers in the pod.
pub(super) fn remove_probes(object: &mut Object) {
    for_each_container(object, |container| {
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            container.remove(probe);
        }
    });
}

/// The path of a workload's containers.
pub(super) const CONTAINERS: &str = "/spec/template/spec/containers";
const INIT_CONTAINERS: &str = "/spec/template/spec/initContainers";

fn for_each_container(object: &mut Object, visit: impl Fn(&mut Map<String, Value>)) {
    for pointer in [INIT_CONTAINERS, CONTAINERS] {
        tables(&mut object.value, pointer).for_each(&visit);
    }
}

/// The tables in the list at the JSON pointer `pointer`.
fn tables<'v>(
    value: &'v mut Value,
    pointer: &str,
) -> impl Iterator<Item = &'v mut Map<String, Value>> {
    let list = value.pointer_mut(pointer).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// The table at `key` of `parent`. If there is no table, creates one in place of any other value.
pub(super) fn subtable<'v>(
    parent: &'v mut Map<String, Value>,
    key: &str,
) -> Option<&'v mut Map<String, Value>> {
    let value = parent.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// The table at the JSON pointer `pointer`; `None` if there is no table.
pub(super) fn table<'v>(value: &'v mut Value, pointer: &str) -> Option<&'v mut Map<String, Value>> {
    value.pointer_mut(pointer).and_then(Value::as_object_mut)
}
