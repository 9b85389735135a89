//! A deployment in a cluster that is shared with others: none of its objects may conflict with theirs.
//!
//! The namespace separates most objects. Cluster-scoped objects are separated by names and labels, and files by a
//! folder on the nodes. Only definitions have to be shared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::patch::{rename, table};
use super::{ManifestProblem, Object};

/// What separates a cell from others in the same cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// The labels that identify the cell's cluster-scoped objects.
    pub labels: BTreeMap<String, String>,
    /// What is needed to clean up after the cell, stored in its namespace.
    pub annotations: BTreeMap<String, String>,
    /// The folder on each node that contains the cell's host paths.
    pub folder: String,
}

/// The modes of Pod Security. A mode that the manifests leave open is `privileged`, so that the agent may use the node's
/// network whatever the cluster's default is.
const POD_SECURITY: [&str; 3] = ["enforce", "audit", "warn"];

/// Separates the cell in `namespace` from others.
pub(super) fn set_apart(
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
            // Before it is applied, the runner checks that no one else owns it.
            "CustomResourceDefinition" => set_all(object, "labels", &shared.labels),
            kind @ ("ClusterRole" | "ClusterRoleBinding") => {
                if kind == "ClusterRole" {
                    roles.insert(object.name.clone());
                }
                set_all(object, "labels", &shared.labels);
                let name = own_name(&object.name, namespace);
                rename(object, &name);
            }
            _ if object.is_namespaced() && !object.is_in(namespace) => {
                problems.push(ManifestProblem::new(
                    object.place("metadata.namespace"),
                    "is another namespace than the agent's, which others use too",
                    "leave the object out, or run with the provider `kind`",
                ));
            }
            _ if object.is_namespaced() => problems.extend(move_host_paths(object, &shared.folder)),
            kind => problems.push(ManifestProblem::new(
                object.place("kind"),
                format!("a {kind} affects the whole cluster, which others use, too"),
                "leave it out, or run with the provider `kind`",
            )),
        }
    }
    for object in objects {
        follow_role(object, namespace, &roles);
    }
    problems
}

fn own_name(name: &str, namespace: &str) -> String {
    format!("{name}-{namespace}")
}

fn set_all(object: &mut Object, field: &str, values: &BTreeMap<String, String>) {
    let Some(metadata) = table(&mut object.value, "/metadata") else {
        return;
    };
    let held = metadata.entry(field).or_insert_with(|| json!({}));
    if !held.is_object() {
        *held = json!({});
    }
    if let Some(held) = held.as_object_mut() {
        held.extend(
            values
                .iter()
                .map(|(key, value)| (key.clone(), json!(value))),
        );
    }
}

/// Updates a binding after its role was renamed.
fn follow_role(object: &mut Object, namespace: &str, roles: &BTreeSet<String>) {
    let Some(role) = table(&mut object.value, "/roleRef") else {
        return;
    };
    let is_cluster_role = role.get("kind").and_then(Value::as_str) == Some("ClusterRole");
    let name = role.get("name").and_then(Value::as_str);
    if let Some(name) = name.filter(|name| is_cluster_role && roles.contains(*name)) {
        let name = own_name(name, namespace);
        role.insert("name".to_owned(), json!(name));
    }
}

const VOLUMES: &str = "/spec/template/spec/volumes";

/// Moves the folders in which a workload keeps data on its node to `folder`. What has to exist on the node already, a
/// device or a file of the kernel, stays where it is.
fn move_host_paths(object: &mut Object, folder: &str) -> Vec<ManifestProblem> {
    let place = |index: usize| format!("spec.template.spec.volumes[{index}].hostPath");
    let places: Vec<_> = (0..count(object))
        .map(|index| object.place(&place(index)))
        .collect();
    let volumes = object.value.pointer_mut(VOLUMES);
    let volumes = volumes.and_then(Value::as_array_mut).into_iter().flatten();
    let mut problems = Vec::new();
    for (volume, place) in volumes.zip(places) {
        let Some(host) = table(volume, "/hostPath") else {
            continue;
        };
        match host.get("type").and_then(Value::as_str) {
            None | Some("" | "DirectoryOrCreate") => move_below(host, folder),
            Some("FileOrCreate") => problems.push(ManifestProblem::new(
                place,
                "a file on the node can't be moved below the cell's folder",
                "mount the folder that it is in, with the type `DirectoryOrCreate`",
            )),
            Some(_) => {}
        }
    }
    problems
}

fn count(object: &Object) -> usize {
    let volumes = object.value.pointer(VOLUMES).and_then(Value::as_array);
    volumes.map_or(0, Vec::len)
}

fn move_below(host: &mut Map<String, Value>, folder: &str) {
    let path = host.get("path").and_then(Value::as_str).unwrap_or_default();
    let path = format!("{folder}/{}", path.trim_matches('/'));
    host.insert("path".to_owned(), json!(path));
    host.insert("type".to_owned(), json!("DirectoryOrCreate"));
}
