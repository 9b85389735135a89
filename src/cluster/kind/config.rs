//! kind's configuration file for one cell: the cell's nodes, the settings that make a throw-away cluster usable sooner,
//! and the variant's own table, which takes precedence. All functions are pure.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::claim::SEALS;
use super::tuning::{self, PATCHES};
use crate::matrix::Cell;

/// The folder of kubeadm's patches in the cell's private folder.
pub(super) const PATCHES_FOLDER: &str = "patches";
/// The name of the seal in the cell's private folder: an empty folder that is mounted in each node.
pub(super) const SEAL_FOLDER: &str = "seal";

/// The content of the file for `cell`, whose private folder is `folder`. It is JSON, which is valid YAML, so kind can
/// read it. The seal is an empty folder, mounted in each node under a name that no other cluster uses. With
/// `fast_setup`, the cluster is tuned.
pub(super) fn kind_file(cell: &Cell, fast_setup: bool, folder: &Path, seal: &str) -> Value {
    let variant = &cell.variant.kind;
    let mut content = Map::from_iter([
        ("kind".to_owned(), json!("Cluster")),
        ("apiVersion".to_owned(), json!("kind.x-k8s.io/v1alpha4")),
        ("nodes".to_owned(), nodes(cell, fast_setup, folder, seal)),
    ]);
    let mut kubeadm = Vec::new();
    if fast_setup {
        let patches = tuning::kubeadm_patches(cell);
        kubeadm.extend(patches.iter().map(|patch| json!(patch.to_string())));
    }
    for (key, value) in variant {
        match (key.as_str(), value) {
            // Later patches take precedence over earlier ones.
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
    Value::Object(content)
}

/// The content of the file for `cell`, with placeholders for the folders and the seal's name, which differ between
/// runs.
pub(super) fn without_run(cell: &Cell, fast_setup: bool) -> Value {
    kind_file(cell, fast_setup, Path::new(""), "seal")
}

fn nodes(cell: &Cell, fast_setup: bool, folder: &Path, seal: &str) -> Value {
    let mount = |name: &str, path: &str| json!({"hostPath": folder.join(name), "containerPath": path, "readOnly": true});
    let sealed = mount(SEAL_FOLDER, &format!("{SEALS}/{seal}"));
    let patches = fast_setup.then(|| mount(PATCHES_FOLDER, PATCHES));
    let mounts: Vec<_> = std::iter::once(sealed.clone()).chain(patches).collect();
    let control_plane = json!({"role": "control-plane", "extraMounts": mounts});
    let workers =
        (1..cell.nodes.get()).map(|_| json!({"role": "worker", "extraMounts": [sealed.clone()]}));
    std::iter::once(control_plane).chain(workers).collect()
}

/// Makes the API server listen only on loopback, unless the variant sets another address.
fn bind_to_loopback(content: &mut Map<String, Value>) {
    let networking = content.entry("networking").or_insert_with(|| json!({}));
    if let Value::Object(networking) = networking {
        networking
            .entry("apiServerAddress")
            .or_insert_with(|| json!("127.0.0.1"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::matrix::{Matrix, Variant};

    /// The file for `cell`, with any folder and seal.
    fn kind_file(cell: &Cell, fast_setup: bool) -> Value {
        super::kind_file(cell, fast_setup, Path::new("/run"), "name")
    }

    fn cell(version: &str, nodes: u16, kind: Value) -> Cell {
        let Value::Object(kind) = kind else {
            panic!("kind is a table")
        };
        let text = format!("[matrix]\nkubernetes = [\"{version}\"]\nnodes = [{nodes}]\n");
        let mut cell = Matrix::parse("matrix.toml", &text).unwrap().cells.remove(0);
        cell.variant = Arc::new(Variant {
            kind,
            ..Variant::default()
        });
        cell
    }

    /// The kubeadm patches in a file, parsed.
    fn patches(file: &Value) -> Vec<Value> {
        let patches = file["kubeadmConfigPatches"].as_array().unwrap();
        patches
            .iter()
            .map(|patch| serde_saphyr::from_str(patch.as_str().unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn without_tuning_kinds_defaults_are_unchanged() {
        let file = kind_file(&cell("1.34", 3, json!({})), false);
        let sealed =
            json!({"hostPath": "/run/seal", "containerPath": "/e2e-matrix/name", "readOnly": true});
        let expected = json!({
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"apiServerAddress": "127.0.0.1"},
            "nodes": [
                {"role": "control-plane", "extraMounts": [sealed]},
                {"role": "worker", "extraMounts": [sealed]},
                {"role": "worker", "extraMounts": [sealed]},
            ],
        });
        assert_eq!(file, expected);
    }

    #[test]
    fn only_the_control_plane_gets_the_patches() {
        let file = kind_file(&cell("1.34", 2, json!({})), true);
        assert_eq!(
            file["nodes"][0]["extraMounts"][1]["hostPath"],
            "/run/patches"
        );
        let sealed =
            json!({"hostPath": "/run/seal", "containerPath": "/e2e-matrix/name", "readOnly": true});
        let worker = json!({"role": "worker", "extraMounts": [sealed]});
        assert_eq!(file["nodes"][1], worker);
    }

    #[test]
    fn the_variant_takes_precedence() {
        let own = "kind: ClusterConfiguration\nscheduler: {}\n";
        let kind = json!({
            "featureGates": {"A": true},
            "networking": {"apiServerAddress": "0.0.0.0"},
            "kubeadmConfigPatches": [own],
        });
        let file = kind_file(&cell("1.34", 1, kind), true);
        let all = file["kubeadmConfigPatches"].as_array().unwrap();
        assert_eq!(all.last().unwrap(), own);
        assert_eq!(file["featureGates"], json!({"A": true}));
        assert_eq!(file["networking"], json!({"apiServerAddress": "0.0.0.0"}));
    }

    #[test]
    fn arguments_and_key_types_are_written_for_versions_before_1_36_and_from_1_36_on() {
        let kind = json!({"featureGates": {"B": false, "A": true}});
        let file = kind_file(&cell("1.36", 1, kind), true);
        let patches = patches(&file);
        let of = |api_version: &str| {
            let is_it = |patch: &&Value| {
                patch["kind"] == "ClusterConfiguration" && patch["apiVersion"] == api_version
            };
            patches.iter().find(is_it).unwrap()
        };
        assert_eq!(
            of("kubeadm.k8s.io/v1beta3")["etcd"]["local"]["extraArgs"]["unsafe-no-fsync"],
            "true"
        );
        assert_eq!(
            of("kubeadm.k8s.io/v1beta3")["featureGates"],
            json!({"PublicKeysECDSA": true})
        );
        assert_eq!(
            of("kubeadm.k8s.io/v1beta4")["encryptionAlgorithm"],
            "ECDSA-P256"
        );
        let list = &of("kubeadm.k8s.io/v1beta4")["controllerManager"]["extraArgs"];
        let named = |name: &str| {
            let mut all = list.as_array().unwrap().iter();
            all.find(|argument| argument["name"] == name)
                .map(|argument| argument["value"].clone())
        };
        // A list is replaced as a whole, so kind's own arguments are repeated.
        assert_eq!(named("feature-gates"), Some(json!("A=true,B=false")));
        assert_eq!(named("enable-hostpath-provisioner"), Some(json!("true")));
        assert_eq!(named("leader-elect"), Some(json!("false")));
    }

    #[test]
    fn kubeadm_skips_the_phases_that_kind_skips() {
        let kind = json!({"networking": {"kubeProxyMode": "none"}});
        let file = kind_file(&cell("1.34", 3, kind), true);
        let patches = patches(&file);
        let init = patches
            .iter()
            .find(|patch| patch["kind"] == "InitConfiguration")
            .unwrap();
        assert_eq!(
            init["skipPhases"],
            json!(["preflight", "kubelet-finalize", "addon/kube-proxy"])
        );
    }

    #[test]
    fn a_single_node_skips_the_phases_for_joining_nodes() {
        let phases = |nodes| {
            let file = kind_file(&cell("1.34", nodes, json!({})), true);
            let is_it = |patch: &Value| patch["kind"] == "InitConfiguration";
            let init = patches(&file).into_iter().find(is_it);
            init.unwrap()["skipPhases"].clone()
        };
        assert_eq!(
            phases(1),
            json!(["preflight", "kubelet-finalize", "upload-config"])
        );
        assert_eq!(phases(2), json!(["preflight", "kubelet-finalize"]));
    }

    #[test]
    fn only_old_versions_get_their_pod_networks_from_the_runner() {
        let own = json!({"networking": {"podSubnet": "10.1.0.0/16"}});
        assert!(tuning::assigns_pod_networks(&cell("1.30", 1, json!({}))));
        assert!(!tuning::assigns_pod_networks(&cell("1.30", 1, own)));
        assert!(!tuning::assigns_pod_networks(&cell("1.33", 1, json!({}))));
    }
}
