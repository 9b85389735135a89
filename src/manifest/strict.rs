//! Finds unknown fields by decoding objects as Kubernetes' own types.

use k8s_openapi::Resource;
use k8s_openapi::api::{
    admissionregistration, apps, autoscaling, batch, coordination, core, discovery, networking,
    node, policy, rbac, scheduling, storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use serde_ignored::Path;

use super::{ManifestProblem, Object};

/// Reads an object of one kind.
type Read = fn(&Object, &mut dyn FnMut(Path<'_>)) -> Result<(), ManifestProblem>;

/// Creates a row for each kind from its type.
macro_rules! kinds {
    ($($kind:ty),+ $(,)?) => {
        &[$((
            <$kind>::API_VERSION,
            <$kind>::KIND,
            (|object, ignored| object.decode_with::<$kind>(ignored).map(drop)) as Read,
        )),+]
    };
}

const KINDS: &[(&str, &str, Read)] = kinds![
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

/// The fields of an object that are unknown to Kubernetes or have the wrong type. Strict validation in the API server
/// would reject them.
///
/// Objects of kinds that aren't part of Kubernetes aren't checked.
pub(super) fn unknown_fields(object: &Object) -> Vec<ManifestProblem> {
    let mut kinds = KINDS.iter();
    let known = kinds
        .find(|(api_version, kind, _)| *api_version == object.api_version && *kind == object.kind);
    let Some((_, _, read)) = known else {
        return Vec::new();
    };
    let mut ignored = Vec::new();
    if let Err(problem) = read(object, &mut |path| ignored.push(field(&path))) {
        return vec![problem];
    }
    let problem = |field: String| {
        ManifestProblem::new(
            object.place(&field),
            "is an unknown field",
            "correct the field's name or place, or remove it",
        )
    };
    ignored.into_iter().map(problem).collect()
}

/// A path in the notation of Kubernetes: `spec.containers[0].image`.
fn field(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", field(parent)),
        Path::Map { parent, key } => {
            let parent = field(parent);
            let separator = if parent.is_empty() { "" } else { "." };
            format!("{parent}{separator}{key}")
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => field(parent),
    }
}
