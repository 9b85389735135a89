//! The settings of kubeadm that make a throw-away cluster usable sooner. Pure.
//!
//! Each is there for something that a cluster waits for while it comes up; what a cluster is when it is up, they leave alone.

use serde_json::{Map, Value, json};

use crate::matrix::KubernetesVersion;

/// Where the folder of kubeadm's patches is on the control-plane node.
pub(super) const PATCHES: &str = "/kind/e2e-matrix-patches";

/// The name by which kubeadm finds the patch of its DNS deployment, and the patch: one replica, asked every second whether it answers.
pub(super) const DNS_PATCH: (&str, &str) = (
    "corednsdeployment+strategic.yaml",
    "spec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - name: coredns\n        readinessProbe:\n          httpGet: {path: /ready, port: 8181, scheme: HTTP}\n          initialDelaySeconds: 0\n          periodSeconds: 1\n",
);

/// The first version whose kubeadm patches its DNS deployment itself.
const DNS_PATCHED_SINCE: KubernetesVersion = KubernetesVersion {
    major: 1,
    minor: 32,
};

/// The last version whose controller manager looks for the first node only after ten seconds, before any controller works.
const LATE_NODE_IPAM: KubernetesVersion = KubernetesVersion {
    major: 1,
    minor: 30,
};

/// The settings for `version`, in words for the report.
pub(super) fn names(version: KubernetesVersion, variant: &Map<String, Value>) -> Vec<String> {
    let mut names = vec![
        "etcd: unsafe-no-fsync",
        "controller-manager and scheduler: leader-elect=false, kube-api-qps=1000, kube-api-burst=1000",
        "scheduler: the administrator's kubeconfig",
        "kubeadm: skips kubelet-finalize",
        "kube-proxy: iptables.minSyncPeriod=0s",
        "CoreDNS: one replica, readiness probe every second",
    ];
    if assigns_pod_networks(version, variant) {
        names.push("controller-manager: pod networks given to nodes by the runner");
    }
    names.into_iter().map(str::to_owned).collect()
}

/// Whether the DNS deployment is to be changed when it is there, because kubeadm can't be given [`DNS_PATCH`].
pub(super) fn patches_dns_late(version: KubernetesVersion) -> bool {
    version < DNS_PATCHED_SINCE
}

/// Whether nodes get their pod networks from here and not from the controller manager. Where the variant has a network of its
/// own, it is left alone.
pub(super) fn assigns_pod_networks(
    version: KubernetesVersion,
    variant: &Map<String, Value>,
) -> bool {
    version <= LATE_NODE_IPAM && !variant.contains_key("networking")
}

/// The kubeconfig that needs no role bindings, so that it works as soon as the API server answers.
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

/// Patches of kubeadm's configuration, to be merged in this order. kind gives each to the objects of its `apiVersion` alone.
pub(super) fn kubeadm_patches(
    version: KubernetesVersion,
    variant: &Map<String, Value>,
) -> Vec<Value> {
    let mut patches = Vec::new();
    for spelling in [Spelling::Map, Spelling::List] {
        patches.push(cluster_configuration(spelling, version, variant));
        patches.push(json!({
            "kind": "InitConfiguration",
            "apiVersion": spelling.api_version(),
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

/// How kubeadm spells extra arguments. kind writes the one before Kubernetes 1.36, and the other since.
#[derive(Clone, Copy)]
enum Spelling {
    Map,
    List,
}

impl Spelling {
    const fn api_version(self) -> &'static str {
        match self {
            Self::Map => "kubeadm.k8s.io/v1beta3",
            Self::List => "kubeadm.k8s.io/v1beta4",
        }
    }

    /// The arguments `own`. `given`: those that kind writes itself; a merge patch replaces a list as a whole, so they have to be
    /// said again.
    fn arguments(self, own: &[(&str, String)], given: &[(&str, String)]) -> Value {
        match self {
            Self::Map => own
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect(),
            Self::List => given
                .iter()
                .chain(own)
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect(),
        }
    }
}

fn cluster_configuration(
    spelling: Spelling,
    version: KubernetesVersion,
    variant: &Map<String, Value>,
) -> Value {
    let own = |name, value: &str| (name, value.to_owned());
    // Nobody to elect: it is alone. No client-side queue: the API server is its own.
    let alone = [
        own("leader-elect", "false"),
        own("kube-api-qps", "1000"),
        own("kube-api-burst", "1000"),
    ];
    let mut manager = alone.to_vec();
    if assigns_pod_networks(version, variant) {
        let controllers =
            "*,bootstrap-signer-controller,token-cleaner-controller,-node-ipam-controller";
        manager.push(own("controllers", controllers));
    }
    // Its own account may do nothing until the role bindings are there, and it tries again only seconds later.
    let admin = admin_kubeconfig(version);
    let mut scheduler = alone.to_vec();
    scheduler.push(own("kubeconfig", admin));
    let volume = json!({
        "name": "administrator",
        "hostPath": admin,
        "mountPath": admin,
        "pathType": "File",
        "readOnly": true,
    });
    let mut given_manager = feature_gates(variant);
    given_manager.push(own("enable-hostpath-provisioner", "true"));
    given_manager.extend(bind_address(variant, "::"));
    let mut given_scheduler = feature_gates(variant);
    given_scheduler.extend(bind_address(variant, "::1"));
    let etcd = [own("unsafe-no-fsync", "true")];
    json!({
        "kind": "ClusterConfiguration",
        "apiVersion": spelling.api_version(),
        "etcd": {"local": {"extraArgs": spelling.arguments(&etcd, &[])}},
        "controllerManager": {"extraArgs": spelling.arguments(&manager, &given_manager)},
        "scheduler": {
            "extraArgs": spelling.arguments(&scheduler, &given_scheduler),
            "extraVolumes": [volume],
        },
    })
}

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
