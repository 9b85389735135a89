//! Fields that Kubernetes does not know, found by what its own types lose.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ManifestProblem, Object};

/// The fields of an object that Kubernetes does not know, as a strict API server would refuse them.
///
/// Empty for kinds that are not looked at: those that no deployment of ours has.
pub fn unknown_fields(object: &Object) -> Vec<ManifestProblem> {
    match (object.api_version.as_str(), object.kind.as_str()) {
        ("v1", "Namespace") => lost_by::<Namespace>(object),
        ("v1", "ServiceAccount") => lost_by::<ServiceAccount>(object),
        ("v1", "Secret") => lost_by::<Secret>(object),
        ("v1", "ConfigMap") => lost_by::<ConfigMap>(object),
        ("v1", "Service") => lost_by::<Service>(object),
        ("apps/v1", "Deployment") => lost_by::<Deployment>(object),
        ("apps/v1", "DaemonSet") => lost_by::<DaemonSet>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => lost_by::<ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
            lost_by::<ClusterRoleBinding>(object)
        }
        ("rbac.authorization.k8s.io/v1", "Role") => lost_by::<Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => lost_by::<RoleBinding>(object),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
            lost_by::<CustomResourceDefinition>(object)
        }
        _ => Vec::new(),
    }
}

fn lost_by<T: DeserializeOwned + Serialize>(object: &Object) -> Vec<ManifestProblem> {
    let typed: T = match object.decode() {
        Ok(typed) => typed,
        Err(problem) => return vec![problem],
    };
    let kept = serde_json::to_value(&typed)
        .unwrap_or_else(|_| unreachable!("Kubernetes' types are made for JSON"));
    let mut lost = Vec::new();
    compare(&object.value, &kept, "", &mut lost);
    let problem = |field: String| {
        ManifestProblem::new(
            object.place(&field),
            "is a field that Kubernetes does not know",
            "correct its name or its place, or remove it",
        )
    };
    lost.into_iter().map(problem).collect()
}

/// Collects the paths that `kept` lacks. What says nothing (null, an empty list or table) may go.
fn compare(original: &Value, kept: &Value, path: &str, lost: &mut Vec<String>) {
    match (original, kept) {
        (Value::Object(original), Value::Object(kept)) => {
            for (key, value) in original {
                let separator = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{separator}{key}");
                match kept.get(key) {
                    Some(kept) => compare(value, kept, &path, lost),
                    None if says_nothing(value) => {}
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(original), Value::Array(kept)) => {
            for (index, (value, kept)) in original.iter().zip(kept).enumerate() {
                compare(value, kept, &format!("{path}[{index}]"), lost);
            }
        }
        _ => {}
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(table) => table.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
