//! One Kubernetes object as it stands in a file, with the way back to its place.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Document, ManifestProblem, Place};

/// One object of a deployment.
///
/// Its `value` is the whole document, so that no field is lost on the way; it may hold a token, hence no derived
/// `Debug`.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `DaemonSet`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; none where the object is the cluster's.
    pub namespace: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// The whole document.
    pub value: Value,
}

/// Where an object comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, as the user knows it; `(made by the run)` for what no file says.
    pub file: String,
    /// Which of the file's documents.
    pub document: Option<Document>,
    /// The path inside the document, for an item of a list.
    pub prefix: String,
}

impl Source {
    /// The source of what no file says.
    pub(super) fn made() -> Self {
        Self {
            file: "(made by the run)".to_owned(),
            document: None,
            prefix: String::new(),
        }
    }

    /// A place of this source that is no object yet.
    pub(super) fn place(&self, field: &str) -> Place {
        let separator = if self.prefix.is_empty() || field.is_empty() {
            ""
        } else {
            "."
        };
        Place {
            file: self.file.clone(),
            document: self.document,
            object: None,
            field: format!("{}{separator}{field}", self.prefix),
        }
    }
}

/// Kinds that are the cluster's; every other one lives in a namespace.
const CLUSTER_SCOPED: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CSINode",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "CustomResourceDefinition",
    "DeviceClass",
    "FlowSchema",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

impl Object {
    /// Reads the head of a document: what every object must say.
    pub(super) fn read(value: Value, source: Source) -> Result<Self, ManifestProblem> {
        let text = |pointer: &str, field: &str| {
            let found = value.pointer(pointer).and_then(Value::as_str);
            found
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| {
                    let message = format!("{field} is missing, or is no text");
                    ManifestProblem::new(source.place(field), message, "every object needs it")
                })
        };
        Ok(Self {
            api_version: text("/apiVersion", "apiVersion")?,
            kind: text("/kind", "kind")?,
            name: text("/metadata/name", "metadata.name")?,
            namespace: text("/metadata/namespace", "").ok(),
            source,
            value,
        })
    }

    /// Makes an object that no file holds.
    pub(super) fn made(value: Value) -> Self {
        Self::read(value, Source::made())
            .unwrap_or_else(|problem| unreachable!("a made object has a head: {problem}"))
    }

    /// Whether objects of its kind live in a namespace.
    pub fn is_namespaced(&self) -> bool {
        !CLUSTER_SCOPED.contains(&self.kind.as_str())
    }

    /// Whether it is of `kind` and has this name.
    pub fn is(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name
    }

    /// Whether it is in `namespace`, or in none.
    pub fn is_in(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace)
    }

    /// Kind and name, for messages.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// The place of one of its fields; an empty `field` is the whole object.
    pub fn place(&self, field: &str) -> Place {
        Place {
            object: Some(self.title()),
            ..self.source.place(field)
        }
    }

    /// The object as Kubernetes' own type; a problem where a field has another shape than the type says.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ManifestProblem> {
        serde_path_to_error::deserialize(&self.value).map_err(|error| {
            let field = error.path().to_string();
            // The path of the whole object.
            let field = if field == "." { "" } else { &field };
            let message = format!("does not fit its type: {}", error.into_inner());
            ManifestProblem::new(self.place(field), message, "correct the field's type")
        })
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Object")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
