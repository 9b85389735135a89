//! The shipped manifests, to be changed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::copy;

/// A copy of `deploy`.
pub(crate) struct Manifests(PathBuf);

impl Manifests {
    /// Copies it to below `place`, instead of what was there.
    pub(crate) fn shipped(place: &Path) -> Self {
        let copied = place.join("deploy");
        if copied.exists() {
            fs::remove_dir_all(&copied).unwrap();
        }
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy"),
            &copied,
        );
        Self(copied)
    }

    /// Sets what `pointer` names in the first document of `file`.
    pub(crate) fn edit(&self, file: &str, pointer: &str, value: &Value) {
        let file = self.0.join(file);
        let text = fs::read_to_string(&file).unwrap();
        let mut documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match documents[0].pointer_mut(parent).unwrap() {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            object => object[key] = value.clone(),
        }
        let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
        fs::write(file, texts.join("\n---\n")).unwrap();
    }

    /// Adds `object` to the agent's manifests: a Namespace as its own, anything else after the roles.
    pub(crate) fn add(&self, object: &Value) {
        let file = if object["kind"] == "Namespace" {
            "kubernetes/namespace.yaml"
        } else {
            "kubernetes/rbac.yaml"
        };
        let file = self.0.join(file);
        let text = fs::read_to_string(&file).unwrap_or_default();
        fs::write(file, format!("{text}\n---\n{object}\n")).unwrap();
    }

    /// What a matrix file says to use it.
    pub(crate) fn settings(&self) -> String {
        let folder = self.0.display();
        format!("[deploy]\nmanifests = \"{folder}/kubernetes\"\nmock = \"{folder}/mock-api\"\n")
    }
}
