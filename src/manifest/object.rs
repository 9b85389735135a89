//! A Kubernetes object in a manifest, with its place.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;
use serde_path_to_error::Track;

use super::patch::table;
use super::{ManifestProblem, Place};

/// One object of a deployment.
///
/// `value` is the whole document, so that no field is lost. It may contain a token, so `Debug` isn't derived.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `DaemonSet`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; `None` if the object is cluster-scoped.
    pub namespace: Option<String>,
    /// The place of the object, without its kind and name. For an item of a list, the field of the place is the item's
    /// path within the document.
    pub source: Place,
    /// The whole document.
    pub value: Value,
    is_namespaced: bool,
}

/// The cluster-scoped kinds of Kubernetes. Custom resources can be cluster-scoped, too: see [`Object::set_scope`].
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
    /// Reads the fields that every object needs.
    pub(super) fn read(value: Value, source: Place) -> Result<Self, ManifestProblem> {
        let text = |pointer: &str, field: &str| {
            let found = value.pointer(pointer).and_then(Value::as_str);
            found
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| {
                    let message = "is missing, empty or not a string";
                    let remedy = "set it to a non-empty string";
                    ManifestProblem::new(source.below(field), message, remedy)
                })
        };
        let api_version = text("/apiVersion", "apiVersion")?;
        let kind = text("/kind", "kind")?;
        let mut object = Self {
            api_version,
            is_namespaced: !CLUSTER_SCOPED.contains(&kind.as_str()),
            kind,
            name: text("/metadata/name", "metadata.name")?,
            namespace: text("/metadata/namespace", "").ok(),
            source,
            value,
        };
        if !object.is_namespaced {
            object.remove_namespace();
        }
        object.join_base64();
        Ok(object)
    }

    /// Removes the line breaks in base64, because the API server ignores them, too.
    fn join_base64(&mut self) {
        let field = match self.kind.as_str() {
            "Secret" => "/data",
            "ConfigMap" => "/binaryData",
            _ => return,
        };
        for (_, text) in table(&mut self.value, field).into_iter().flatten() {
            if let Value::String(text) = text {
                text.retain(|c| !matches!(c, '\r' | '\n'));
            }
        }
    }

    /// Creates an object that isn't from a file.
    pub(super) fn generated(value: Value) -> Self {
        Self::read(value, Place::generated()).unwrap_or_else(|problem| {
            unreachable!("a generated object has all required fields: {problem}")
        })
    }

    /// The group and kind of the cluster-scoped custom resources that the object defines, if it defines any.
    pub(super) fn defined_cluster_scoped(&self) -> Option<(String, String)> {
        let text = |pointer| self.value.pointer(pointer).and_then(Value::as_str);
        let defines =
            self.kind == "CustomResourceDefinition" && text("/spec/scope") == Some("Cluster");
        let (group, kind) = (text("/spec/group")?, text("/spec/names/kind")?);
        defines.then(|| (group.to_owned(), kind.to_owned()))
    }

    /// Makes the object cluster-scoped if `cluster_scoped` has its group and kind.
    pub(super) fn set_scope(&mut self, cluster_scoped: &BTreeSet<(String, String)>) {
        let group = self.api_version.split('/').next().unwrap_or_default();
        if cluster_scoped.contains(&(group.to_owned(), self.kind.clone())) {
            self.is_namespaced = false;
            self.remove_namespace();
        }
    }

    /// Removes the namespace of a cluster-scoped object, because the API server ignores it, too.
    fn remove_namespace(&mut self) {
        self.namespace = None;
        if let Some(metadata) = table(&mut self.value, "/metadata") {
            metadata.remove("namespace");
        }
    }

    /// Whether the object is in a namespace, and not cluster-scoped.
    pub fn is_namespaced(&self) -> bool {
        self.is_namespaced
    }

    /// Whether the object has this kind and name.
    pub fn is(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name
    }

    /// Whether the object is in `namespace`, or cluster-scoped.
    pub fn is_in(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace)
    }

    /// The JSON pointer to the specification of the object's pods, if the object is a pod or creates pods.
    pub(super) fn pod_spec(&self) -> &'static str {
        match self.kind.as_str() {
            "Pod" => "/spec",
            "CronJob" => "/spec/jobTemplate/spec/template/spec",
            _ => "/spec/template/spec",
        }
    }

    /// Whether a controller creates the Secret `name` from the object: a Certificate of cert-manager, an
    /// `ExternalSecret` or a `SealedSecret`.
    pub(super) fn creates_secret(&self, name: &str) -> bool {
        let spec = &self.value["spec"];
        let created = match self.kind.as_str() {
            "Certificate" => spec["secretName"].as_str(),
            "ExternalSecret" => spec["target"]["name"].as_str().or(Some(self.name.as_str())),
            "SealedSecret" => Some(self.name.as_str()),
            _ => None,
        };
        created == Some(name)
    }

    /// The paths on nodes that the object's pods mount, or that the object offers as a `PersistentVolume`.
    pub(super) fn host_paths(&self) -> impl Iterator<Item = &str> {
        let volumes = self.value.pointer(&format!("{}/volumes", self.pod_spec()));
        let volumes = volumes.and_then(Value::as_array).into_iter().flatten();
        let offered = (self.kind == "PersistentVolume").then(|| self.value.get("spec"));
        let volumes = volumes.chain(offered.flatten());
        volumes.filter_map(|volume| {
            let path = volume.pointer("/hostPath/path");
            path.or_else(|| volume.pointer("/local/path"))?.as_str()
        })
    }

    /// Kind and name, for messages.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// The place of the object's field `field`; if `field` is empty, the place of the whole object.
    pub fn place(&self, field: &str) -> Place {
        Place {
            object: Some(self.title()),
            ..self.source.below(field)
        }
    }

    /// The object as Kubernetes' own type. Fails if a field has another type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ManifestProblem> {
        self.decode_with(&mut |_| {})
    }

    /// The object as Kubernetes' own type. Calls `ignored` with each field that the type doesn't have.
    ///
    /// All objects are read with the same type of deserializer, because each additional type takes long to compile.
    pub(super) fn decode_with<T: DeserializeOwned>(
        &self,
        mut ignored: &mut dyn FnMut(Path<'_>),
    ) -> Result<T, ManifestProblem> {
        let mut track = Track::new();
        let tracking = serde_path_to_error::Deserializer::new(&self.value, &mut track);
        let reading = serde_ignored::Deserializer::new(tracking, &mut ignored);
        T::deserialize(reading).map_err(|error| {
            let field = track.path().to_string();
            // `.` is the path of the whole object.
            let field = if field == "." { "" } else { &field };
            let reason = error
                .to_string()
                .replace("expected i32", "expected an integer")
                .replace("expected i64", "expected an integer");
            let message = format!("can't be decoded: {}", reason.trim_end_matches('.'));
            let remedy = if self.kind == "Secret" && field.starts_with("data.") {
                "encode the value in base64, or move it to `stringData`"
            } else {
                "correct the field"
            };
            ManifestProblem::new(self.place(field), message, remedy)
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
