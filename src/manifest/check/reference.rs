//! What a pod refers to by name: Secrets, `ConfigMaps` with their keys, and its account.

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, KeyToPath, PodSpec, Volume};
use serde_json::Value;

use super::{Deployed, Findings};

/// A name that something must have, and the keys that it must hold.
struct Reference<'a> {
    field: String,
    kind: &'static str,
    name: &'a str,
    keys: Vec<&'a str>,
    optional: Option<bool>,
}

/// Checks the environment of a container.
pub(super) fn of_container(
    findings: &mut Findings<'_>,
    deployed: &Deployed<'_>,
    field: &str,
    container: &Container,
) {
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let field = format!("{field}.env[{index}].valueFrom");
        check(findings, deployed, of_variable(&field, variable));
    }
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        let field = format!("{field}.envFrom[{index}]");
        check(findings, deployed, of_env_source(&field, source));
    }
}

/// Checks a pod's volumes and its account.
pub(super) fn of_pod(
    findings: &mut Findings<'_>,
    deployed: &Deployed<'_>,
    field: &str,
    spec: &PodSpec,
) {
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let field = format!("{field}.volumes[{index}]");
        check(findings, deployed, of_volume(&field, volume));
    }
    let account = spec.service_account_name.as_deref().unwrap_or("default");
    if account != "default" && !deployed.has("ServiceAccount", account) {
        findings.add(
            &format!("{field}.serviceAccountName"),
            format!("names the account `{account}`, which is not deployed"),
            "name an account of serviceaccount.yaml, or add it there",
        );
    }
}

fn of_variable<'a>(field: &str, variable: &'a EnvVar) -> Vec<Reference<'a>> {
    let Some(from) = &variable.value_from else {
        return Vec::new();
    };
    let secret = from.secret_key_ref.iter().map(|from| Reference {
        field: format!("{field}.secretKeyRef"),
        kind: "Secret",
        name: &from.name,
        keys: vec![&from.key],
        optional: from.optional,
    });
    let config_map = from.config_map_key_ref.iter().map(|from| Reference {
        field: format!("{field}.configMapKeyRef"),
        kind: "ConfigMap",
        name: &from.name,
        keys: vec![&from.key],
        optional: from.optional,
    });
    secret.chain(config_map).collect()
}

fn of_env_source<'a>(field: &str, source: &'a EnvFromSource) -> Vec<Reference<'a>> {
    let secret = source.secret_ref.iter().map(|from| Reference {
        field: format!("{field}.secretRef"),
        kind: "Secret",
        name: &from.name,
        keys: Vec::new(),
        optional: from.optional,
    });
    let config_map = source.config_map_ref.iter().map(|from| Reference {
        field: format!("{field}.configMapRef"),
        kind: "ConfigMap",
        name: &from.name,
        keys: Vec::new(),
        optional: from.optional,
    });
    secret.chain(config_map).collect()
}

fn of_volume<'a>(field: &str, volume: &'a Volume) -> Vec<Reference<'a>> {
    let mut references = Vec::new();
    references.extend(volume.secret.iter().map(|from| Reference {
        field: format!("{field}.secret"),
        kind: "Secret",
        name: from.secret_name.as_deref().unwrap_or_default(),
        keys: keys_of(from.items.as_ref()),
        optional: from.optional,
    }));
    references.extend(volume.config_map.iter().map(|from| Reference {
        field: format!("{field}.configMap"),
        kind: "ConfigMap",
        name: &from.name,
        keys: keys_of(from.items.as_ref()),
        optional: from.optional,
    }));
    let projected = volume.projected.iter().flat_map(|from| &from.sources);
    for (index, source) in projected.flatten().enumerate() {
        let field = format!("{field}.projected.sources[{index}]");
        references.extend(source.secret.iter().map(|from| Reference {
            field: format!("{field}.secret"),
            kind: "Secret",
            name: &from.name,
            keys: keys_of(from.items.as_ref()),
            optional: from.optional,
        }));
        references.extend(source.config_map.iter().map(|from| Reference {
            field: format!("{field}.configMap"),
            kind: "ConfigMap",
            name: &from.name,
            keys: keys_of(from.items.as_ref()),
            optional: from.optional,
        }));
    }
    references
}

fn keys_of(items: Option<&Vec<KeyToPath>>) -> Vec<&str> {
    let items = items.into_iter().flatten();
    items.map(|item| item.key.as_str()).collect()
}

/// Kubernetes puts this one into every namespace.
const CLUSTER_CERTIFICATES: &str = "kube-root-ca.crt";

fn check(findings: &mut Findings<'_>, deployed: &Deployed<'_>, references: Vec<Reference<'_>>) {
    for reference in references {
        let (kind, name) = (reference.kind, reference.name);
        if reference.optional == Some(true) || name == CLUSTER_CERTIFICATES {
            continue;
        }
        let Some(object) = deployed.object(kind, name) else {
            if deployed.is_complete {
                let message = format!("names the {kind} `{name}`, which is not deployed");
                let known = known(deployed, kind);
                let remedy = format!("name one that is ({known}), or mark it optional");
                findings.add(&reference.field, message, remedy);
            }
            continue;
        };
        for key in reference.keys {
            if !has_key(&object.value, key) {
                let message = format!("the {kind} `{name}` has no key `{key}`");
                findings.add(&reference.field, message, "name a key that it has");
            }
        }
    }
}

/// The first names of a kind: enough to find a typing error.
fn known(deployed: &Deployed<'_>, kind: &str) -> String {
    let objects = deployed.of_kind(kind).take(10);
    let names: Vec<&str> = objects.map(|object| object.name.as_str()).collect();
    names.join(", ")
}

fn has_key(value: &Value, key: &str) -> bool {
    let tables = ["data", "stringData", "binaryData"].map(|field| value.get(field));
    let mut tables = tables.into_iter().flatten();
    tables.any(|table| table.get(key).is_some())
}
