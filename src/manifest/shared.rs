//! Isolates a deployment in a shared cluster: its objects must not conflict with those of others.
//!
//! The namespace isolates most objects. Cluster-scoped objects are isolated by names and labels, and files by a folder
//! on the nodes. Only custom resource definitions have to be shared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::patch::{rename, subtable, table};
use super::{ManifestProblem, Object};

/// The settings that isolate a cell from others in the same cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// The labels that identify the cell's cluster-scoped objects.
    pub labels: BTreeMap<String, String>,
    /// The annotations of the cell's namespace, with everything that its cleanup needs to know.
    pub annotations: BTreeMap<String, String>,
    /// The folder on each node that contains the cell's host paths.
    pub folder: String,
}

/// The modes of Pod Security. A mode that the manifests don't set is `privileged`, so that the agent may use the node's
/// network regardless of the cluster's default.
const POD_SECURITY: [&str; 3] = ["enforce", "audit", "warn"];

/// Isolates the cell in `namespace` from others. Reports objects that can't be isolated.
pub(super) fn isolate(
    objects: &mut [&mut Object],
    namespace: &str,
    shared: &Tenancy,
) -> Vec<ManifestProblem> {
    let mut problems = Vec::new();
    let mut roles = BTreeSet::new();
    for object in objects.iter_mut() {
        match object.kind.as_str() {
            "Namespace" if object.name == namespace => {
                set_all(object, "labels", &shared.labels);
                set_all(object, "annotations", &shared.annotations);
                for mode in POD_SECURITY {
                    let key = format!("pod-security.kubernetes.io/{mode}");
                    let labels = object.value.pointer("/metadata/labels");
                    if labels.and_then(|labels| labels.get(&key)).is_none() {
                        set_all(object, "labels", &[(key, "privileged".to_owned())].into());
                    }
                }
            }
            // Before applying the definition, the runner checks that it doesn't belong to anyone else.
            "CustomResourceDefinition" => set_all(object, "labels", &shared.labels),
            kind @ ("ClusterRole" | "ClusterRoleBinding") => {
                if kind == "ClusterRole" {
                    roles.insert(object.name.clone());
                    stop_aggregation(object);
                }
                set_all(object, "labels", &shared.labels);
                let name = unique_name(&object.name, namespace);
                rename(object, &name);
            }
            _ if object.is_namespaced() && !object.is_in(namespace) => {
                problems.push(ManifestProblem::new(
                    object.place("metadata.namespace"),
                    "is not the agent's namespace, and other users of the cluster may be using it",
                    "remove the object, or run with the provider `kind`",
                ));
            }
            _ if object.is_namespaced() => problems.extend(move_host_paths(object, &shared.folder)),
            kind => problems.push(ManifestProblem::new(
                object.place("kind"),
                format!("a {kind} affects the whole cluster, which others also use"),
                "remove the object, or run with the provider `kind`",
            )),
        }
    }
    for object in objects {
        update_role_ref(object, namespace, &roles);
    }
    problems
}

fn unique_name(name: &str, namespace: &str) -> String {
    format!("{name}-{namespace}")
}

fn set_all(object: &mut Object, field: &str, values: &BTreeMap<String, String>) {
    let Some(metadata) = table(&mut object.value, "/metadata") else {
        return;
    };
    if let Some(held) = subtable(metadata, field) {
        let values = values.iter();
        held.extend(values.map(|(key, value)| (key.clone(), json!(value))));
    }
}

/// Removes the labels that add the rules of a role to other roles. The cluster's own `admin`, `edit` and `view` would
/// grant them to all of their users.
fn stop_aggregation(role: &mut Object) {
    if let Some(labels) = table(&mut role.value, "/metadata/labels") {
        labels.retain(|key, _| !key.starts_with("rbac.authorization.k8s.io/aggregate-to-"));
    }
}

/// Updates the reference of a binding to a renamed role.
fn update_role_ref(object: &mut Object, namespace: &str, roles: &BTreeSet<String>) {
    let Some(role) = table(&mut object.value, "/roleRef") else {
        return;
    };
    let is_cluster_role = role.get("kind").and_then(Value::as_str) == Some("ClusterRole");
    let name = role.get("name").and_then(Value::as_str);
    if let Some(name) = name.filter(|name| is_cluster_role && roles.contains(*name)) {
        let name = unique_name(name, namespace);
        role.insert("name".to_owned(), json!(name));
    }
}

/// Moves the folders in which a workload stores data on its node to `folder`. Paths that must already exist on the
/// node, such as devices, are preserved.
fn move_host_paths(object: &mut Object, folder: &str) -> Vec<ManifestProblem> {
    let whole = object.place("");
    let path = format!("{}/volumes", object.pod_spec());
    let volumes = object.value.pointer_mut(&path);
    let volumes = volumes.and_then(Value::as_array_mut).into_iter().flatten();
    let mut problems = Vec::new();
    for (index, volume) in volumes.enumerate() {
        let Some(host) = table(volume, "/hostPath") else {
            continue;
        };
        match host.get("type").and_then(Value::as_str) {
            None | Some("" | "DirectoryOrCreate") => move_below(host, folder),
            Some("FileOrCreate") => problems.push(ManifestProblem::new(
                whole.below(&format!(
                    "{}[{index}].hostPath",
                    path[1..].replace('/', ".")
                )),
                "a file on the node can't be moved to the cell's folder",
                "mount its parent folder with the type `DirectoryOrCreate` instead",
            )),
            Some(_) => {}
        }
    }
    problems
}

fn move_below(host: &mut Map<String, Value>, folder: &str) {
    let path = host.get("path").and_then(Value::as_str).unwrap_or_default();
    let path = format!("{folder}/{}", path.trim_matches('/'));
    host.insert("path".to_owned(), json!(path));
    host.insert("type".to_owned(), json!("DirectoryOrCreate"));
}
