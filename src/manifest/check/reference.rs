//! Checks a pod's references by name: to Secrets and `ConfigMaps` with their keys, and to its ServiceAccount.

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec, Volume};
use serde_json::{Map, Value};

use super::{Deployed, Findings};
use crate::manifest::Object;

/// A reference to an object.
pub(in crate::manifest) struct Reference<'a> {
    field: String,
    pub(in crate::manifest) kind: &'static str,
    pub(in crate::manifest) name: &'a str,
    /// The keys that the object must contain; `None` if all its keys become environment variables.
    pub(in crate::manifest) keys: Option<Vec<&'a str>>,
    /// Whether the keys become files. Otherwise they become environment variables.
    pub(in crate::manifest) is_file: bool,
    optional: Option<bool>,
}

impl Reference<'_> {
    /// Whether the pod can't start without the object.
    pub(in crate::manifest) fn is_required(&self) -> bool {
        self.optional != Some(true)
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
    // Adds the reference at `key` of `field`. The key determines the kind of the object, and whether it becomes files.
    let mut add = |field: &str, key: &str, name: &'a str, optional, keys| {
        let is_secret = key.starts_with("secret");
        references.push(Reference {
            field: format!("{field}.{key}"),
            kind: if is_secret { "Secret" } else { "ConfigMap" },
            name,
            keys,
            is_file: !key.ends_with("Ref"),
            optional,
        });
    };
    for (field, container) in containers(pod, spec) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let field = format!("{field}.env[{index}].valueFrom");
            let from = variable.value_from.as_ref();
            if let Some(it) = from.and_then(|from| from.secret_key_ref.as_ref()) {
                let keys = Some(vec![it.key.as_str()]);
                add(&field, "secretKeyRef", &it.name, it.optional, keys);
            }
            if let Some(it) = from.and_then(|from| from.config_map_key_ref.as_ref()) {
                let keys = Some(vec![it.key.as_str()]);
                add(&field, "configMapKeyRef", &it.name, it.optional, keys);
            }
        }
        for (index, from) in container.env_from.iter().flatten().enumerate() {
            let field = format!("{field}.envFrom[{index}]");
            if let Some(it) = &from.secret_ref {
                add(&field, "secretRef", &it.name, it.optional, None);
            }
            if let Some(it) = &from.config_map_ref {
                add(&field, "configMapRef", &it.name, it.optional, None);
            }
        }
    }
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let field = format!("{pod}.volumes[{index}]");
        if let Some(it) = &volume.secret {
            let name = it.secret_name.as_deref().unwrap_or_default();
            let keys = Some(keys_of(it.items.as_deref()));
            add(&field, "secret", name, it.optional, keys);
        }
        if let Some(it) = &volume.config_map {
            let keys = Some(keys_of(it.items.as_deref()));
            add(&field, "configMap", &it.name, it.optional, keys);
        }
        let sources = volume.projected.iter().flat_map(|from| &from.sources);
        for (index, source) in sources.flatten().enumerate() {
            let field = format!("{field}.projected.sources[{index}]");
            if let Some(it) = &source.secret {
                let keys = Some(keys_of(it.items.as_deref()));
                add(&field, "secret", &it.name, it.optional, keys);
            }
            if let Some(it) = &source.config_map {
                let keys = Some(keys_of(it.items.as_deref()));
                add(&field, "configMap", &it.name, it.optional, keys);
            }
        }
    }
    references
}

fn keys_of(items: Option<&[KeyToPath]>) -> Vec<&str> {
    let items = items.unwrap_or_default().iter();
    items.map(|item| item.key.as_str()).collect()
}

/// Checks that each `subPath` into a Secret or ConfigMap names one of its files or folders. For any other `subPath`,
/// the kubelet would create an empty folder.
pub(super) fn of_mounts(
    findings: &mut Findings<'_>,
    field: &str,
    container: &Container,
    volumes: &[Volume],
) {
    if findings.is_elsewhere() {
        return;
    }
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let sub_path = mount.sub_path.as_deref().unwrap_or_default();
        let volume = volumes.iter().find(|volume| volume.name == mount.name);
        let files = volume.and_then(|volume| files_of(findings.deployed, volume));
        let Some(files) = files.filter(|_| !sub_path.is_empty()) else {
            continue;
        };
        let is_below = |file: &String| Path::new(file).starts_with(sub_path);
        if !files.iter().any(is_below) {
            let message = format!("the volume `{}` has no file `{sub_path}`", mount.name);
            let remedy = format!("use one of its files: {}", files.join(", "));
            let field = format!("{field}.volumeMounts[{index}].subPath");
            findings.add(&field, message, remedy);
        }
    }
}

/// The files of a volume with a Secret or ConfigMap; `None` if they aren't known.
fn files_of(deployed: &Deployed<'_>, volume: &Volume) -> Option<Vec<String>> {
    let (kind, name, items) = match (&volume.secret, &volume.config_map) {
        (Some(secret), _) => ("Secret", secret.secret_name.as_deref()?, &secret.items),
        (None, Some(config_map)) => ("ConfigMap", config_map.name.as_str(), &config_map.items),
        (None, None) => return None,
    };
    if let Some(items) = items.as_ref().filter(|items| !items.is_empty()) {
        return Some(items.iter().map(|item| item.path.clone()).collect());
    }
    let keys = keys(deployed.object(kind, name)?);
    Some(keys.map(str::to_owned).collect())
}

/// Checks the references of a pod, including its ServiceAccount.
pub(super) fn of_pod(findings: &mut Findings<'_>, field: &str, spec: &PodSpec) {
    if findings.is_elsewhere() {
        return;
    }
    check(findings, references(field, spec));
    if let Some(account) = account(findings.object) {
        findings.service_account(&format!("{field}.serviceAccountName"), account);
    }
}

/// The name of the ServiceAccount of an object's pods, if it has pods. `serviceAccount` is the deprecated alias of
/// `serviceAccountName`.
pub(in crate::manifest) fn account(object: &Object) -> Option<&str> {
    let pod = object.value.pointer(object.pod_spec())?;
    let fields = ["serviceAccountName", "serviceAccount"];
    let mut names = fields.iter().filter_map(|field| pod[*field].as_str());
    Some(names.find(|name| !name.is_empty()).unwrap_or("default"))
}

/// Kubernetes creates this ConfigMap in every namespace.
pub(in crate::manifest) const CLUSTER_CERTIFICATES: &str = "kube-root-ca.crt";

fn check(findings: &mut Findings<'_>, references: Vec<Reference<'_>>) {
    let deployed = findings.deployed;
    for reference in references {
        let (kind, name) = (reference.kind, reference.name);
        if !reference.is_required() || name == CLUSTER_CERTIFICATES {
            continue;
        }
        let Some(object) = deployed.object(kind, name) else {
            let mut objects = deployed.objects.iter();
            let is_created = kind == "Secret" && objects.any(|it| it.creates_secret(name));
            if deployed.is_complete && !is_created {
                let message =
                    format!("refers to the {kind} `{name}`, which the manifests don't define");
                let known = known(deployed, kind);
                let remedy = format!(
                    "use one that the manifests define ({known}), or mark the reference as optional"
                );
                findings.add(&reference.field, message, remedy);
            }
            continue;
        };
        for key in reference.keys.into_iter().flatten() {
            if !keys(object).any(|it| it == key) {
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

/// The keys that the cluster adds to a Secret for the token of a ServiceAccount.
const TOKEN_KEYS: [&str; 3] = ["ca.crt", "namespace", "token"];

/// The keys of a Secret or ConfigMap, including those that the cluster adds.
fn keys(object: &Object) -> impl Iterator<Item = &str> {
    let tables = ["data", "stringData", "binaryData"].map(|field| object.value.get(field));
    let tables = tables.into_iter().flatten().filter_map(Value::as_object);
    let is_token = object.value["type"] == "kubernetes.io/service-account-token";
    let added = is_token.then_some(TOKEN_KEYS).into_iter().flatten();
    tables.flat_map(Map::keys).map(String::as_str).chain(added)
}
