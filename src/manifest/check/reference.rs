//! Checks a pod's references by name: to Secrets and `ConfigMaps` with their keys, and to its ServiceAccount.

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec, Volume};
use serde_json::{Map, Value};

use super::{Deployed, Findings};
use crate::manifest::Object;

/// The path of the pod's specification in a workload.
pub(super) const POD: &str = "spec.template.spec";

/// A reference to an object.
pub(in crate::manifest) struct Reference<'a> {
    field: String,
    pub(in crate::manifest) kind: &'static str,
    pub(in crate::manifest) name: &'a str,
    pub(in crate::manifest) keys: Keys<'a>,
    optional: Option<bool>,
}

/// How a pod uses the keys of an object.
pub(in crate::manifest) enum Keys<'a> {
    /// One of them becomes an environment variable.
    Variable(&'a str),
    /// All of them become environment variables.
    Variables,
    /// They become files in a volume: all of them, or those in `items` if there are any.
    Files {
        volume: &'a str,
        items: &'a [KeyToPath],
    },
}

impl<'a> Reference<'a> {
    /// Whether the pod can't start without the object.
    pub(in crate::manifest) fn is_required(&self) -> bool {
        self.optional != Some(true)
    }

    /// The keys that the object must contain.
    pub(in crate::manifest) fn named_keys(&self) -> Vec<&'a str> {
        match self.keys {
            Keys::Variable(key) => vec![key],
            Keys::Variables => Vec::new(),
            Keys::Files { items, .. } => items.iter().map(|item| item.key.as_str()).collect(),
        }
    }
}

/// The containers of a workload's pod, init containers first, with their paths.
pub(super) fn containers(spec: &PodSpec) -> impl Iterator<Item = (String, &Container)> {
    let init = spec.init_containers.iter().flatten().enumerate();
    let init = init.map(|(index, it)| (format!("{POD}.initContainers[{index}]"), it));
    let main = spec.containers.iter().enumerate();
    init.chain(main.map(|(index, it)| (format!("{POD}.containers[{index}]"), it)))
}

/// All references of a workload's pod.
pub(in crate::manifest) fn references<'a>(spec: &'a PodSpec) -> Vec<Reference<'a>> {
    let mut references = Vec::new();
    // Adds the reference at `key` of `field`. The key determines the kind of the object.
    let mut add = |field: &str, key: &str, name: &'a str, optional, keys| {
        let is_secret = key.starts_with("secret");
        references.push(Reference {
            field: format!("{field}.{key}"),
            kind: if is_secret { "Secret" } else { "ConfigMap" },
            name,
            keys,
            optional,
        });
    };
    for (field, container) in containers(spec) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let field = format!("{field}.env[{index}].valueFrom");
            let from = variable.value_from.as_ref();
            if let Some(it) = from.and_then(|from| from.secret_key_ref.as_ref()) {
                let key = Keys::Variable(&it.key);
                add(&field, "secretKeyRef", &it.name, it.optional, key);
            }
            if let Some(it) = from.and_then(|from| from.config_map_key_ref.as_ref()) {
                let key = Keys::Variable(&it.key);
                add(&field, "configMapKeyRef", &it.name, it.optional, key);
            }
        }
        for (index, from) in container.env_from.iter().flatten().enumerate() {
            let field = format!("{field}.envFrom[{index}]");
            if let Some(it) = &from.secret_ref {
                add(&field, "secretRef", &it.name, it.optional, Keys::Variables);
            }
            if let Some(it) = &from.config_map_ref {
                let keys = Keys::Variables;
                add(&field, "configMapRef", &it.name, it.optional, keys);
            }
        }
    }
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let field = format!("{POD}.volumes[{index}]");
        let files = |items: &'a Option<Vec<KeyToPath>>| Keys::Files {
            volume: &volume.name,
            items: items.as_deref().unwrap_or_default(),
        };
        if let Some(it) = &volume.secret {
            let name = it.secret_name.as_deref().unwrap_or_default();
            add(&field, "secret", name, it.optional, files(&it.items));
        }
        if let Some(it) = &volume.config_map {
            add(&field, "configMap", &it.name, it.optional, files(&it.items));
        }
        let sources = volume.projected.iter().flat_map(|from| &from.sources);
        for (index, source) in sources.flatten().enumerate() {
            let field = format!("{field}.projected.sources[{index}]");
            if let Some(it) = &source.secret {
                add(&field, "secret", &it.name, it.optional, files(&it.items));
            }
            if let Some(it) = &source.config_map {
                add(&field, "configMap", &it.name, it.optional, files(&it.items));
            }
        }
    }
    references
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
pub(super) fn of_pod(findings: &mut Findings<'_>, spec: &PodSpec) {
    if findings.is_elsewhere() {
        return;
    }
    check(findings, references(spec));
    if let Some(account) = account(findings.object) {
        findings.service_account(&format!("{POD}.serviceAccountName"), account);
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
        for key in reference.named_keys() {
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
