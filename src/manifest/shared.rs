//! Isolates a deployment in a shared cluster: its objects must not conflict with those of others.
//!
//! The namespace isolates most objects. Cluster-scoped objects are isolated by names and labels, and files by a folder
//! on the nodes. Only custom resource definitions have to be shared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::patch::{rename, subtable, table};
use super::{ManifestProblem, Object, items};

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
    let stored = stored_paths(objects);
    for object in objects.iter_mut() {
        match object.kind.as_str() {
            "Namespace" if object.name == namespace => {
                set_all(object, "annotations", &shared.annotations);
                set_all(object, "labels", &shared.labels);
                if let Some(labels) = table(&mut object.value, "/metadata/labels") {
                    for mode in POD_SECURITY {
                        let key = format!("pod-security.kubernetes.io/{mode}");
                        labels.entry(key).or_insert(json!("privileged"));
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
            _ if object.is_namespaced() => {
                problems.extend(move_host_paths(object, &shared.folder, &stored));
            }
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

/// The notices about host paths that [`isolate`] moved.
pub(super) fn notices<'o>(
    objects: impl Iterator<Item = &'o Object>,
    shared: &Tenancy,
) -> Vec<String> {
    let notice = |object: &Object| {
        let paths = object.host_paths();
        let moved = paths.filter_map(|path| path.strip_prefix(&shared.folder));
        let moved: Vec<&str> = moved.collect();
        (!moved.is_empty()).then(|| {
            let (title, moved) = (object.title(), moved.join(", "));
            format!("{title} uses empty folders of the cell instead of these host paths: {moved}")
        })
    };
    objects.filter_map(notice).collect()
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

/// The host paths in which the pods of the cell store data.
fn stored_paths(objects: &[&mut Object]) -> Vec<String> {
    let pods = objects.iter();
    let pods = pods.filter_map(|object| object.value.pointer(object.pod_spec()));
    let volumes =
        pods.flat_map(|pod| items(&pod["volumes"]).filter(move |volume| stores_data(pod, volume)));
    let paths = volumes.filter_map(|volume| volume.pointer("/hostPath/path")?.as_str());
    paths.map(str::to_owned).collect()
}

/// Whether the host path of `volume` is a folder in which `pod` may store data. A path that has to exist already
/// doesn't count.
fn stores_data(pod: &Value, volume: &Value) -> bool {
    let kind = volume.pointer("/hostPath/type").and_then(Value::as_str);
    match kind {
        Some("DirectoryOrCreate") => true,
        None | Some("") => !is_only_read(pod, volume),
        Some(_) => false,
    }
}

/// Whether containers of `pod` mount `volume`, and none of them can write to it.
fn is_only_read(pod: &Value, volume: &Value) -> bool {
    let containers = ["initContainers", "containers"].map(|field| items(&pod[field]));
    let mounts = containers
        .into_iter()
        .flatten()
        .flat_map(|container| items(&container["volumeMounts"]))
        .filter(|mount| mount["name"] == volume["name"]);
    let mut are_read_only = mounts.map(|mount| mount["readOnly"] == true).peekable();
    are_read_only.peek().is_some() && are_read_only.all(|is_read_only| is_read_only)
}

/// Moves `stored`, the folders in which the cell stores data on its nodes, to `folder`. Pods that only read such a
/// folder use the same one. All other paths, such as devices and `/proc`, are preserved.
fn move_host_paths(object: &mut Object, folder: &str, stored: &[String]) -> Vec<ManifestProblem> {
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
            None | Some("" | "DirectoryOrCreate") => move_below(host, folder, stored),
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

/// Moves a host path to `folder` if it is one of `stored`, or below one of them. If it is one of them, it is a folder. A
/// path below one of them may also be a file that another pod creates, such as a socket.
fn move_below(host: &mut Map<String, Value>, folder: &str, stored: &[String]) {
    let is_stored = |path: &&str| stored.iter().any(|it| Path::new(path).starts_with(it));
    let path = host.get("path").and_then(Value::as_str);
    let Some(path) = path.filter(is_stored) else {
        return;
    };
    let is_folder = stored.iter().any(|it| Path::new(it) == Path::new(path));
    let moved = format!("{folder}/{}", path.trim_matches('/'));
    host.insert("path".to_owned(), json!(moved));
    if is_folder {
        host.insert("type".to_owned(), json!("DirectoryOrCreate"));
    }
}
