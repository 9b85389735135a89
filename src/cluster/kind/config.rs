//! kind's configuration file for one cell: what the cell needs, the settings that make a throw-away cluster usable sooner, and the
//! variant's own table, which wins. Pure.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::tuning::{self, PATCHES};
use crate::matrix::Cell;

/// A configuration file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KindFile {
    /// Its content, as kind reads it: YAML, of which JSON is a part.
    pub(super) content: Value,
    /// What was changed of kind's defaults, for the report.
    pub(super) tuning: Vec<String>,
}

/// The file for `cell`. With `patches`, a folder that holds [`tuning::DNS_PATCH`], it is tuned.
pub(super) fn kind_file(cell: &Cell, patches: Option<&Path>) -> KindFile {
    let variant = &cell.variant.kind;
    let mut content = Map::from_iter([
        ("kind".to_owned(), json!("Cluster")),
        ("apiVersion".to_owned(), json!("kind.x-k8s.io/v1alpha4")),
        ("nodes".to_owned(), nodes(cell, patches)),
    ]);
    let mut kubeadm = Vec::new();
    let mut names = Vec::new();
    if patches.is_some() {
        let patches = tuning::kubeadm_patches(cell.kubernetes, variant);
        kubeadm = patches
            .iter()
            .map(|patch| json!(patch.to_string()))
            .collect();
        names = tuning::names(cell.kubernetes, variant);
    }
    for (key, value) in variant {
        match (key.as_str(), value) {
            // Later patches win over earlier ones.
            ("kubeadmConfigPatches", Value::Array(own)) => kubeadm.extend(own.iter().cloned()),
            _ => {
                content.insert(key.clone(), value.clone());
            }
        }
    }
    if !kubeadm.is_empty() {
        content.insert("kubeadmConfigPatches".to_owned(), Value::Array(kubeadm));
    }
    bind_to_loopback(&mut content);
    KindFile {
        content: Value::Object(content),
        tuning: names,
    }
}

fn nodes(cell: &Cell, patches: Option<&Path>) -> Value {
    let mut control_plane = json!({"role": "control-plane"});
    if let Some(folder) = patches {
        control_plane["extraMounts"] =
            json!([{"hostPath": folder, "containerPath": PATCHES, "readOnly": true}]);
    }
    let workers = (1..cell.nodes.get()).map(|_| json!({"role": "worker"}));
    std::iter::once(control_plane).chain(workers).collect()
}

/// The API server is for this machine alone, unless the variant says otherwise.
fn bind_to_loopback(content: &mut Map<String, Value>) {
    let networking = content.entry("networking").or_insert_with(|| json!({}));
    if let Value::Object(networking) = networking {
        networking
            .entry("apiServerAddress")
            .or_insert_with(|| json!("127.0.0.1"));
    }
}
