//! Fields that Kubernetes does not know, found by what its own types lose.

use k8s_openapi::Resource;
use k8s_openapi::api::{
    admissionregistration, apps, autoscaling, batch, coordination, core, discovery, networking,
    node, policy, rbac, scheduling, storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ManifestProblem, Object};

/// How an object of one kind is examined.
type Examine = fn(&Object) -> Vec<ManifestProblem>;

/// One row per kind, from the kinds' own types.
macro_rules! kinds {
    ($($kind:ty),+ $(,)?) => {
        &[$((<$kind>::API_VERSION, <$kind>::KIND, lost_by::<$kind> as Examine)),+]
    };
}

const KINDS: &[(&str, &str, Examine)] = kinds![
    admissionregistration::v1::MutatingWebhookConfiguration,
    admissionregistration::v1::ValidatingAdmissionPolicy,
    admissionregistration::v1::ValidatingAdmissionPolicyBinding,
    admissionregistration::v1::ValidatingWebhookConfiguration,
    apiextensions::v1::CustomResourceDefinition,
    apiregistration::v1::APIService,
    apps::v1::DaemonSet,
    apps::v1::Deployment,
    apps::v1::ReplicaSet,
    apps::v1::StatefulSet,
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::CronJob,
    batch::v1::Job,
    coordination::v1::Lease,
    core::v1::ConfigMap,
    core::v1::Endpoints,
    core::v1::LimitRange,
    core::v1::Namespace,
    core::v1::PersistentVolume,
    core::v1::PersistentVolumeClaim,
    core::v1::Pod,
    core::v1::ResourceQuota,
    core::v1::Secret,
    core::v1::Service,
    core::v1::ServiceAccount,
    discovery::v1::EndpointSlice,
    networking::v1::Ingress,
    networking::v1::IngressClass,
    networking::v1::NetworkPolicy,
    node::v1::RuntimeClass,
    policy::v1::PodDisruptionBudget,
    rbac::v1::ClusterRole,
    rbac::v1::ClusterRoleBinding,
    rbac::v1::Role,
    rbac::v1::RoleBinding,
    scheduling::v1::PriorityClass,
    storage::v1::CSIDriver,
    storage::v1::StorageClass,
];

/// The fields of an object that Kubernetes does not know or that have another type, as a strict API server refuses them.
///
/// Empty for kinds that Kubernetes itself does not have.
pub(super) fn unknown_fields(object: &Object) -> Vec<ManifestProblem> {
    let mut kinds = KINDS.iter();
    let known = kinds
        .find(|(api_version, kind, _)| *api_version == object.api_version && *kind == object.kind);
    known.map_or_else(Vec::new, |(_, _, examine)| examine(object))
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
