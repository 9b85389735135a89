//! Requests and limits of containers, as the downward API offers them to variables and files.

use k8s_openapi::api::core::v1::{PodSpec, ResourceFieldSelector, ResourceRequirements};

use super::pod_config::invalid;
use crate::event::Failure;
use crate::machine::probe;
use crate::manifest::quantity::{ONE, billionths};

/// The request or limit that `field` selects in the pod `spec`, as a multiple of its divisor, rounded up. The container
/// is `own` unless `field` names another.
pub(super) fn value(
    spec: &PodSpec,
    own: &str,
    field: &ResourceFieldSelector,
) -> Result<String, Failure> {
    let name = field.container_name.as_deref().unwrap_or(own);
    let init = spec.init_containers.iter().flatten();
    let mut containers = spec.containers.iter().chain(init);
    let container = containers.find(|container| container.name == name);
    let container =
        container.ok_or_else(|| invalid(format_args!("the pod has no container `{name}`")))?;
    let resources = container.resources.clone().unwrap_or_default();
    let amount = amount(&resources, &field.resource).ok_or_else(|| {
        invalid(format_args!(
            "the local provider doesn't support the resource `{}`",
            field.resource
        ))
    })?;
    let divisor = field.divisor.as_ref().and_then(billionths);
    let divisor = divisor.filter(|divisor| *divisor > 0).unwrap_or(ONE);
    let rounded = amount / divisor + i128::from(amount % divisor > 0);
    Ok(rounded.to_string())
}

/// The amount of `resource`, such as `limits.cpu`, in billionths. Without a limit, it is the machine's capacity.
/// Without a request, it is the limit, or 0 if there is none.
fn amount(given: &ResourceRequirements, resource: &str) -> Option<i128> {
    let (part, name) = resource.split_once('.')?;
    let limit = given.limits.as_ref().and_then(|limits| limits.get(name));
    let request = given
        .requests
        .as_ref()
        .and_then(|requests| requests.get(name));
    match (part, limit, request) {
        ("limits", Some(limit), _) => billionths(limit),
        ("limits", None, _) => capacity(name),
        ("requests", limit, request) => request.or(limit).map_or(Some(0), billionths),
        _ => None,
    }
}

/// How much of a resource the machine has, in billionths.
fn capacity(resource: &str) -> Option<i128> {
    let amount = match resource {
        "cpu" => i128::try_from(probe::cpus()).ok()?,
        "memory" => i128::from(probe::memory()?.total),
        _ => return None,
    };
    Some(amount * ONE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_are_rounded_up_to_the_divisor() {
        let spec = json!({"containers": [{"name": "plexd", "resources": {
            "limits": {"cpu": "1500m", "memory": "1.5Gi"},
            "requests": {"cpu": "0.1"},
        }}]});
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        for (resource, divisor, expected) in [
            ("limits.cpu", "0", "2"),
            ("limits.cpu", "1m", "1500"),
            ("requests.cpu", "1", "1"),
            ("requests.cpu", "1m", "100"),
            ("limits.memory", "1", "1610612736"),
            ("requests.memory", "1Mi", "1536"),
            ("limits.memory", "1e6", "1611"),
            ("requests.ephemeral-storage", "1", "0"),
        ] {
            let field = json!({"resource": resource, "divisor": divisor});
            let field = serde_json::from_value(field).unwrap();
            let value = value(&spec, "plexd", &field);
            assert_eq!(value.ok().as_deref(), Some(expected), "{resource}");
        }
        let empty = json!({"containers": [{"name": "plexd"}]});
        let empty: PodSpec = serde_json::from_value(empty).unwrap();
        for (resource, is_known) in [
            ("limits.cpu", true),
            ("limits.memory", true),
            ("cpu", false),
        ] {
            let field = serde_json::from_value(json!({"resource": resource})).unwrap();
            assert_eq!(
                value(&empty, "plexd", &field).is_ok(),
                is_known,
                "{resource}"
            );
            assert!(value(&empty, "other", &field).is_err());
        }
    }
}
