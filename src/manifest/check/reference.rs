//! A pod's references by name: Secrets and `ConfigMaps` with their keys, and its ServiceAccount.

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, KeyToPath, PodSpec, Volume};
use serde_json::{Map, Value};

use super::{Deployed, Findings};

/// A reference to an object, and the keys that the object must contain.
pub(in crate::manifest) struct Reference<'a> {
    field: String,
    pub(in crate::manifest) kind: &'static str,
    pub(in crate::manifest) name: &'a str,
    pub(in crate::manifest) keys: Vec<&'a str>,
    optional: Option<bool>,
    /// Whether all keys become environment variables.
    pub(in crate::manifest) is_environment: bool,
}

impl<'a> Reference<'a> {
    /// A reference in `key` of `field`, which determines the kind. It needs no specific keys.
    fn new(field: &str, key: &str, name: &'a str, optional: Option<bool>) -> Self {
        let is_secret = key.starts_with("secret");
        Self {
            field: format!("{field}.{key}"),
            kind: if is_secret { "Secret" } else { "ConfigMap" },
            name,
            keys: Vec::new(),
            optional,
            is_environment: false,
        }
    }
}

/// The containers of the pod at the path `pod`, init containers first, with their paths.
pub(super) fn containers<'a>(
    pod: &str,
    spec: &'a PodSpec,
) -> impl Iterator<Item = (String, &'a Container)> {
    let init = spec.init_containers.iter().flatten().enumerate();
    let init = init.map(move |(index, it)| (format!("{pod}.initContainers[{index}]"), it));
    let main = spec.containers.iter().enumerate();
    init.chain(main.map(move |(index, it)| (format!("{pod}.containers[{index}]"), it)))
}

/// All references of the pod at the path `pod`.
pub(in crate::manifest) fn references<'a>(pod: &str, spec: &'a PodSpec) -> Vec<Reference<'a>> {
    let mut references = Vec::new();
    for (field, container) in containers(pod, spec) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            references.extend(of_variable(
                &format!("{field}.env[{index}].valueFrom"),
                variable,
            ));
        }
        for (index, source) in container.env_from.iter().flatten().enumerate() {
            references.extend(of_env_source(&format!("{field}.envFrom[{index}]"), source));
        }
    }
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        references.extend(of_volume(&format!("{pod}.volumes[{index}]"), volume));
    }
    references
}

/// Checks that each `subPath` into a Secret or ConfigMap names one of its files. The kubelet would create an empty
/// folder instead.
pub(super) fn of_mounts(
    findings: &mut Findings<'_>,
    deployed: &Deployed<'_>,
    field: &str,
    container: &Container,
    volumes: &[Volume],
) {
    if deployed.is_elsewhere(findings.object) {
        return;
    }
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let sub_path = mount.sub_path.as_deref().unwrap_or_default();
        let volume = volumes.iter().find(|volume| volume.name == mount.name);
        let files = volume.and_then(|volume| files_of(deployed, volume));
        let Some(files) = files.filter(|_| !sub_path.is_empty()) else {
            continue;
        };
        let is_in = |file: &&str| std::path::Path::new(file).starts_with(sub_path);
        if !files.iter().any(|file| is_in(&file.as_str())) {
            let message = format!("the volume `{}` has no file `{sub_path}`", mount.name);
            let remedy = format!("use one of its files ({})", files.join(", "));
            let field = format!("{field}.volumeMounts[{index}].subPath");
            findings.add(&field, message, remedy);
        }
    }
}

/// The files of a volume with a Secret or ConfigMap; `None` if they can't be known.
fn files_of(deployed: &Deployed<'_>, volume: &Volume) -> Option<Vec<String>> {
    let (kind, name, items) = match (&volume.secret, &volume.config_map) {
        (Some(secret), _) => ("Secret", secret.secret_name.as_deref()?, &secret.items),
        (None, Some(config_map)) => ("ConfigMap", config_map.name.as_str(), &config_map.items),
        (None, None) => return None,
    };
    if let Some(items) = items.as_ref().filter(|items| !items.is_empty()) {
        return Some(items.iter().map(|item| item.path.clone()).collect());
    }
    let tables = tables_of(&deployed.object(kind, name)?.value);
    Some(tables.flat_map(|table| table.keys().cloned()).collect())
}

/// Checks the references of a pod, including its ServiceAccount.
pub(super) fn of_pod(
    findings: &mut Findings<'_>,
    deployed: &Deployed<'_>,
    field: &str,
    spec: &PodSpec,
) {
    if deployed.is_elsewhere(findings.object) {
        return;
    }
    check(findings, deployed, references(field, spec));
    let account = spec.service_account_name.as_deref().unwrap_or("default");
    if account != "default" && !deployed.has("ServiceAccount", account) {
        findings.add(
            &format!("{field}.serviceAccountName"),
            format!("refers to the ServiceAccount `{account}`, which is not deployed"),
            "use a ServiceAccount of the manifests, or add this one",
        );
    }
}

fn of_variable<'a>(field: &str, variable: &'a EnvVar) -> Vec<Reference<'a>> {
    let Some(from) = &variable.value_from else {
        return Vec::new();
    };
    let secret = from.secret_key_ref.iter().map(|from| Reference {
        keys: vec![&from.key],
        ..Reference::new(field, "secretKeyRef", &from.name, from.optional)
    });
    let config_map = from.config_map_key_ref.iter().map(|from| Reference {
        keys: vec![&from.key],
        ..Reference::new(field, "configMapKeyRef", &from.name, from.optional)
    });
    secret.chain(config_map).collect()
}

fn of_env_source<'a>(field: &str, source: &'a EnvFromSource) -> Vec<Reference<'a>> {
    let secret = source.secret_ref.iter().map(|from| Reference {
        is_environment: true,
        ..Reference::new(field, "secretRef", &from.name, from.optional)
    });
    let config_map = source.config_map_ref.iter().map(|from| Reference {
        is_environment: true,
        ..Reference::new(field, "configMapRef", &from.name, from.optional)
    });
    secret.chain(config_map).collect()
}

fn of_volume<'a>(field: &str, volume: &'a Volume) -> Vec<Reference<'a>> {
    let mut references = Vec::new();
    references.extend(volume.secret.iter().map(|from| {
        let name = from.secret_name.as_deref().unwrap_or_default();
        Reference {
            keys: keys_of(from.items.as_ref()),
            ..Reference::new(field, "secret", name, from.optional)
        }
    }));
    references.extend(volume.config_map.iter().map(|from| Reference {
        keys: keys_of(from.items.as_ref()),
        ..Reference::new(field, "configMap", &from.name, from.optional)
    }));
    let projected = volume.projected.iter().flat_map(|from| &from.sources);
    for (index, source) in projected.flatten().enumerate() {
        let field = format!("{field}.projected.sources[{index}]");
        references.extend(source.secret.iter().map(|from| Reference {
            keys: keys_of(from.items.as_ref()),
            ..Reference::new(&field, "secret", &from.name, from.optional)
        }));
        references.extend(source.config_map.iter().map(|from| Reference {
            keys: keys_of(from.items.as_ref()),
            ..Reference::new(&field, "configMap", &from.name, from.optional)
        }));
    }
    references
}

fn keys_of(items: Option<&Vec<KeyToPath>>) -> Vec<&str> {
    let items = items.into_iter().flatten();
    items.map(|item| item.key.as_str()).collect()
}

/// Kubernetes creates this ConfigMap in every namespace.
const CLUSTER_CERTIFICATES: &str = "kube-root-ca.crt";

fn check(findings: &mut Findings<'_>, deployed: &Deployed<'_>, references: Vec<Reference<'_>>) {
    for reference in references {
        let (kind, name) = (reference.kind, reference.name);
        if reference.optional == Some(true) || name == CLUSTER_CERTIFICATES {
            continue;
        }
        let Some(object) = deployed.object(kind, name) else {
            if deployed.is_complete {
                let message = format!("refers to the {kind} `{name}`, which is not deployed");
                let known = known(deployed, kind);
                let remedy =
                    format!("use a deployed one ({known}), or mark the reference as optional");
                findings.add(&reference.field, message, remedy);
            }
            continue;
        };
        for key in reference.keys {
            if !has_key(&object.value, key) {
                let message = format!("the {kind} `{name}` has no key `{key}`");
                findings.add(&reference.field, message, "use one of its keys");
            }
        }
    }
}

/// The first names of a kind, enough to recognize a typo.
fn known(deployed: &Deployed<'_>, kind: &str) -> String {
    let objects = deployed.of_kind(kind).take(10);
    let names: Vec<&str> = objects.map(|object| object.name.as_str()).collect();
    names.join(", ")
}

fn has_key(value: &Value, key: &str) -> bool {
    tables_of(value).any(|table| table.contains_key(key))
}

/// The contents of a Secret or ConfigMap.
fn tables_of(value: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    let tables = ["data", "stringData", "binaryData"].map(|field| value.get(field));
    tables.into_iter().flatten().filter_map(Value::as_object)
}
