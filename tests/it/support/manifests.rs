//! A copy of the shipped manifests that tests can change.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::copy;

/// A copy of `deploy`.
pub(crate) struct Manifests(PathBuf);

impl Manifests {
    /// Copies `deploy` into `folder`, and replaces an earlier copy.
    pub(crate) fn shipped(folder: &Path) -> Self {
        let copied = folder.join("deploy");
        if copied.exists() {
            fs::remove_dir_all(&copied).unwrap();
        }
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy"),
            &copied,
        );
        Self(copied)
    }

    /// Sets the value at `pointer` in the first document of `file`.
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

    /// Adds `object` to the agent's manifests: a Namespace in a separate file, anything else after the roles.
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

    /// The settings by which a matrix file uses the copy.
    pub(crate) fn settings(&self) -> String {
        let folder = self.0.display();
        format!("[deploy]\nmanifests = \"{folder}/kubernetes\"\nmock = \"{folder}/mock-api\"\n")
    }
}
