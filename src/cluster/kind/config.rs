//! kind's configuration file for one cell: what the cell needs, the settings that make a throw-away cluster usable sooner, and the
//! variant's own table, which wins. Pure.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::matrix::{Cell, KubernetesVersion};

/// A configuration file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KindFile {
    /// Its content, as kind reads it: YAML, of which JSON is a part.
    pub(super) content: Value,
    /// What was changed of kind's defaults, for the report.
    pub(super) tuning: Vec<String>,
}

/// Where the folder of kubeadm's patches is on the control-plane node.
const PATCHES: &str = "/kind/e2e-matrix-patches";

/// The name by which kubeadm finds the patch of its DNS deployment, and the patch: one replica, asked every second whether it answers.
pub(super) const DNS_PATCH: (&str, &str) = (
    "corednsdeployment+strategic.yaml",
    "spec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - name: coredns\n        readinessProbe:\n          httpGet: {path: /ready, port: 8181, scheme: HTTP}\n          initialDelaySeconds: 0\n          periodSeconds: 1\n",
);

/// The file for `cell`. With `patches`, a folder that holds [`DNS_PATCH`], it is tuned.
pub(super) fn kind_file(cell: &Cell, patches: Option<&Path>) -> KindFile {
    let variant = &cell.variant.kind;
    let mut content = Map::from_iter([
        ("kind".to_owned(), json!("Cluster")),
        ("apiVersion".to_owned(), json!("kind.x-k8s.io/v1alpha4")),
        ("nodes".to_owned(), nodes(cell, patches)),
    ]);
    let mut kubeadm = Vec::new();
    let mut tuning = Vec::new();
    if patches.is_some() {
        kubeadm = tuned_patches(variant)
            .iter()
            .map(|patch| json!(patch.to_string()))
            .collect();
        tuning = TUNING.iter().map(|name| (*name).to_owned()).collect();
    }
    for (key, value) in variant {
        match (key.as_str(), value) {
            // Later patches win over earlier ones.
            ("kubeadmConfigPatches", Value::Array(own)) => kubeadm.extend(own.iter().cloned()),
            _ => {
                content.insert(key.clone(), value.clone());
            }
        }
    }
    if !kubeadm.is_empty() {
        content.insert("kubeadmConfigPatches".to_owned(), Value::Array(kubeadm));
    }
    bind_to_loopback(&mut content);
    KindFile {
        content: Value::Object(content),
        tuning,
    }
}

/// The settings, in words.
const TUNING: [&str; 5] = [
    "etcd: unsafe-no-fsync",
    "controller-manager and scheduler: leader-elect=false, kube-api-qps=1000, kube-api-burst=1000",
    "kubeadm: skips kubelet-finalize",
    "kube-proxy: iptables.minSyncPeriod=0s",
    "CoreDNS: one replica, readiness probe every second",
];

fn nodes(cell: &Cell, patches: Option<&Path>) -> Value {
    let mut control_plane = json!({"role": "control-plane"});
    if let Some(folder) = patches {
        control_plane["extraMounts"] =
            json!([{"hostPath": folder, "containerPath": PATCHES, "readOnly": true}]);
    }
    let workers = (1..cell.nodes.get()).map(|_| json!({"role": "worker"}));
    std::iter::once(control_plane).chain(workers).collect()
}

/// The API server is for this machine alone, unless the variant says otherwise.
fn bind_to_loopback(content: &mut Map<String, Value>) {
    let networking = content.entry("networking").or_insert_with(|| json!({}));
    if let Value::Object(networking) = networking {
        networking
            .entry("apiServerAddress")
            .or_insert_with(|| json!("127.0.0.1"));
    }
}

/// Patches of kubeadm's configuration. kind gives each to the objects of its `apiVersion` alone, so both spellings of extra
/// arguments are there: a map for versions before 1.36, a list since.
fn tuned_patches(variant: &Map<String, Value>) -> Vec<Value> {
    let mut patches = Vec::new();
    for version in ["v1beta3", "v1beta4"] {
        let api_version = format!("kubeadm.k8s.io/{version}");
        let arguments = |own: &[(&str, &str)], kinds: &[(&str, String)]| match version {
            "v1beta3" => own
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect(),
            // A merge patch replaces a list as a whole, so what kind puts into it has to be said again.
            _ => kinds
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .chain(own.iter().copied())
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect::<Value>(),
        };
        let gates = feature_gates(variant);
        let mut manager = gates.clone();
        manager.push(("enable-hostpath-provisioner", "true".to_owned()));
        manager.extend(bind_address(variant, "::"));
        let mut scheduler = gates;
        scheduler.extend(bind_address(variant, "::1"));
        patches.push(json!({
            "kind": "ClusterConfiguration",
            "apiVersion": api_version,
            "etcd": {"local": {"extraArgs": arguments(&[("unsafe-no-fsync", "true")], &[])}},
            "controllerManager": {"extraArgs": arguments(&ELECTION, &manager)},
            "scheduler": {"extraArgs": arguments(&ELECTION, &scheduler)},
        }));
        patches.push(json!({
            "kind": "InitConfiguration",
            "apiVersion": api_version,
            "skipPhases": skipped_phases(variant),
            "patches": {"directory": PATCHES},
        }));
    }
    patches.push(json!({
        "kind": "KubeProxyConfiguration",
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "iptables": {"minSyncPeriod": "0s"},
    }));
    patches
}

const ELECTION: [(&str, &str); 3] = [
    ("leader-elect", "false"),
    ("kube-api-qps", "1000"),
    ("kube-api-burst", "1000"),
];

/// The phases that kind leaves out itself, and one more.
fn skipped_phases(variant: &Map<String, Value>) -> Vec<&'static str> {
    let mut phases = vec!["preflight", "kubelet-finalize"];
    if networking(variant, "kubeProxyMode") == Some("none") {
        phases.push("addon/kube-proxy");
    }
    phases
}

/// The variant's feature gates, as kind writes them into arguments.
fn feature_gates(variant: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let gates = variant.get("featureGates").and_then(Value::as_object);
    let text: Vec<_> = gates
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if text.is_empty() {
        Vec::new()
    } else {
        vec![("feature-gates", text.join(","))]
    }
}

/// What kind adds in a cluster of IPv6 alone.
fn bind_address(variant: &Map<String, Value>, address: &str) -> Option<(&'static str, String)> {
    (networking(variant, "ipFamily") == Some("ipv6")).then(|| ("bind-address", address.to_owned()))
}

fn networking<'v>(variant: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    variant.get("networking")?.get(key)?.as_str()
}

/// Whether this version writes a kubeconfig that needs no role bindings: the one that works as soon as the API server answers.
pub(super) fn admin_kubeconfig(version: KubernetesVersion) -> &'static str {
    let since = KubernetesVersion {
        major: 1,
        minor: 29,
    };
    if version >= since {
        "/etc/kubernetes/super-admin.conf"
    } else {
        "/etc/kubernetes/admin.conf"
    }
}
