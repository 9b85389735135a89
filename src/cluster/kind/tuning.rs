//! The kubeadm settings that make a throw-away cluster usable sooner. All functions are pure.
//!
//! Each setting avoids a wait during startup. None of them changes the behavior of a cluster that is up.

use serde_json::{Map, Value, json};

use crate::matrix::{Cell, KubernetesVersion};

/// The folder of kubeadm's patches on the control-plane node.
pub(super) const PATCHES: &str = "/kind/e2e-matrix-patches";

/// kubeadm's patches: the file names by which kubeadm finds them, and the contents of these files. The DNS deployment
/// gets one replica, with a readiness probe every second. The API server collects garbage less often, because it
/// allocates most of its memory while it starts.
pub(super) const PATCH_FILES: [(&str, &str); 2] = [
    (
        "corednsdeployment+strategic.yaml",
        "spec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - name: coredns\n        readinessProbe:\n          httpGet: {path: /ready, port: 8181, scheme: HTTP}\n          initialDelaySeconds: 0\n          periodSeconds: 1\n",
    ),
    (
        "kube-apiserver+strategic.yaml",
        "spec:\n  containers:\n  - name: kube-apiserver\n    env:\n    - {name: GOGC, value: \"400\"}\n",
    ),
];

/// The first version whose kubeadm accepts a patch of its DNS deployment.
const DNS_PATCHED_SINCE: KubernetesVersion = version_1(32);

/// The last version whose controller manager first looks for nodes ten seconds after its start, and starts its
/// controllers only after that.
const LATE_NODE_IPAM: KubernetesVersion = version_1(30);

/// The first version in which the administrator's kubeconfig needs role bindings.
const SUPER_ADMIN_SINCE: KubernetesVersion = version_1(29);

const fn version_1(minor: u16) -> KubernetesVersion {
    KubernetesVersion { major: 1, minor }
}

/// Descriptions of the settings for `cell`, for the report.
pub(super) fn names(cell: &Cell) -> Vec<String> {
    let mut names = vec![
        "API server: GOGC=400",
        "etcd: unsafe-no-fsync, heartbeat-interval=10, election-timeout=100",
        "controller-manager and scheduler: leader-elect=false, kube-api-qps=1000, kube-api-burst=1000",
        "scheduler: the administrator's kubeconfig",
        "kubeadm: skips kubelet-finalize, and generates ECDSA keys instead of RSA keys",
        "kube-proxy: iptables.minSyncPeriod=0s",
        "CoreDNS: one replica, readiness probe every second",
    ];
    if cell.nodes.get() == 1 {
        names.push("kubeadm: skips upload-config, because no node joins");
    }
    if assigns_pod_networks(cell) {
        names.push("controller-manager: the runner assigns pod networks to nodes");
    }
    names.into_iter().map(str::to_owned).collect()
}

/// Whether the DNS deployment has to be patched through the API, because kubeadm doesn't accept a patch of it.
pub(super) fn patches_dns_late(version: KubernetesVersion) -> bool {
    version < DNS_PATCHED_SINCE
}

/// Whether the runner assigns pod networks to nodes instead of the controller manager. A variant with its own network
/// settings is left alone.
pub(super) fn assigns_pod_networks(cell: &Cell) -> bool {
    cell.kubernetes <= LATE_NODE_IPAM && !cell.variant.kind.contains_key("networking")
}

/// The administrator's kubeconfig that needs no role bindings, so that it works as soon as the API server responds.
pub(super) fn admin_kubeconfig(version: KubernetesVersion) -> &'static str {
    if version >= SUPER_ADMIN_SINCE {
        "/etc/kubernetes/super-admin.conf"
    } else {
        "/etc/kubernetes/admin.conf"
    }
}

/// Patches of kubeadm's configuration, to be merged in this order. kind applies each patch only to objects with the
/// patch's `apiVersion`.
pub(super) fn kubeadm_patches(cell: &Cell) -> Vec<Value> {
    let mut patches = Vec::new();
    for spelling in [Spelling::Map, Spelling::List] {
        patches.push(cluster_configuration(spelling, cell));
        patches.push(json!({
            "kind": "InitConfiguration",
            "apiVersion": spelling.api_version(),
            "skipPhases": skipped_phases(cell),
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

/// How kubeadm's configuration spells extra arguments: kind writes a map before Kubernetes 1.36, and a list from 1.36
/// on.
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

    /// The setting that selects elliptic-curve keys instead of RSA keys.
    fn elliptic_keys(self) -> (&'static str, Value) {
        match self {
            Self::Map => ("featureGates", json!({"PublicKeysECDSA": true})),
            Self::List => ("encryptionAlgorithm", json!("ECDSA-P256")),
        }
    }

    /// The arguments `own` in this spelling. A list also repeats `given`, the arguments that kind itself sets, because
    /// a merge patch replaces a list as a whole.
    fn arguments(self, own: &[(&str, &str)], given: &[(&str, &str)]) -> Value {
        match self {
            Self::Map => own.iter().copied().collect(),
            Self::List => given
                .iter()
                .chain(own)
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect(),
        }
    }
}

fn cluster_configuration(spelling: Spelling, cell: &Cell) -> Value {
    let variant = &cell.variant.kind;
    // Without leader election, because there is only one instance, and without a client-side rate limit, because the
    // API server serves only this cluster.
    let alone = [
        ("leader-elect", "false"),
        ("kube-api-qps", "1000"),
        ("kube-api-burst", "1000"),
    ];
    let mut manager = alone.to_vec();
    if assigns_pod_networks(cell) {
        let controllers =
            "*,bootstrap-signer-controller,token-cleaner-controller,-node-ipam-controller";
        manager.push(("controllers", controllers));
    }
    // The scheduler's own account has no permissions until the role bindings exist, and the scheduler retries only
    // after several seconds.
    let admin = admin_kubeconfig(cell.kubernetes);
    let mut scheduler = alone.to_vec();
    scheduler.push(("kubeconfig", admin));
    let volume = json!({
        "name": "administrator",
        "hostPath": admin,
        "mountPath": admin,
        "pathType": "File",
        "readOnly": true,
    });
    let gates = feature_gates(variant);
    let gates = (!gates.is_empty()).then_some(("feature-gates", gates.as_str()));
    let mut given_scheduler: Vec<_> = gates.into_iter().collect();
    let mut given_manager = given_scheduler.clone();
    given_manager.push(("enable-hostpath-provisioner", "true"));
    if networking(variant, "ipFamily") == Some("ipv6") {
        given_manager.push(("bind-address", "::"));
        given_scheduler.push(("bind-address", "::1"));
    }
    // etcd's only member is elected within ten to twenty heartbeat intervals, and sends no heartbeats.
    let etcd = [
        ("unsafe-no-fsync", "true"),
        ("heartbeat-interval", "10"),
        ("election-timeout", "100"),
    ];
    let (keys, elliptic) = spelling.elliptic_keys();
    json!({
        "kind": "ClusterConfiguration",
        "apiVersion": spelling.api_version(),
        keys: elliptic,
        "etcd": {"local": {"extraArgs": spelling.arguments(&etcd, &[])}},
        "controllerManager": {"extraArgs": spelling.arguments(&manager, &given_manager)},
        "scheduler": {
            "extraArgs": spelling.arguments(&scheduler, &given_scheduler),
            "extraVolumes": [volume],
        },
    })
}

/// The kubeadm phases to skip: the phases that kind itself skips, `kubelet-finalize`, and in a cluster with one node,
/// the phases that only joining nodes need.
fn skipped_phases(cell: &Cell) -> Vec<&'static str> {
    let mut phases = vec!["preflight", "kubelet-finalize"];
    if cell.nodes.get() == 1 {
        phases.push("upload-config");
    }
    if networking(&cell.variant.kind, "kubeProxyMode") == Some("none") {
        phases.push("addon/kube-proxy");
    }
    phases
}

/// The variant's feature gates, in the form in which kind writes them into arguments.
fn feature_gates(variant: &Map<String, Value>) -> String {
    let gates = variant.get("featureGates").and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| format!("{name}={value}");
    let texts: Vec<_> = gates.into_iter().flatten().map(text).collect();
    texts.join(",")
}

fn networking<'v>(variant: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    variant.get("networking")?.get(key)?.as_str()
}
