//! A deployment in a shared cluster: none of its objects has a name or folder that an object of another cell may have.

use serde_json::json;

use super::{Case, MOCK, RBAC, edited, messages, value, with_file, with_mock};
use crate::manifest::{Sources, Tenancy};

/// The settings that isolate a cell from others in the same cluster.
pub(super) fn tenancy() -> Tenancy {
    Tenancy {
        labels: [("e2e-matrix/run".to_owned(), "x7k2p".to_owned())].into(),
        annotations: [("e2e-matrix/image".to_owned(), "mock:1".to_owned())].into(),
        folder: "/var/lib/plexd-e2e/plexd-e2e".to_owned(),
    }
}

fn in_shared_cluster(sources: Sources) -> Case {
    Case {
        shared: Some(tenancy()),
        ..Case::new(sources)
    }
}

#[test]
fn a_role_adds_nothing_to_the_roles_of_the_cluster() {
    let label = "rbac.authorization.k8s.io/aggregate-to-edit";
    let head = "kind: ClusterRole\nmetadata:\n  name: plexd\n  labels:\n";
    let text = edited(RBAC, head, &format!("{head}    {label}: 'true'\n"));
    let labels = |case: Case, name: &str| {
        let rendered = case.rendered();
        let labels = value(&rendered, "ClusterRole", name, "/metadata/labels").clone();
        labels.get(label).is_some()
    };
    let sources = || with_file("rbac.yaml", text.clone());
    assert!(labels(Case::new(sources()), "plexd"));
    assert!(!labels(in_shared_cluster(sources()), "plexd-plexd-e2e"));
}

#[test]
fn cluster_scoped_objects_are_named_and_labeled_for_the_cell() {
    let rendered = in_shared_cluster(Sources::builtin()).rendered();
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        let label = value(
            &rendered,
            kind,
            "plexd-plexd-e2e",
            "/metadata/labels/e2e-matrix~1run",
        );
        assert_eq!(label, "x7k2p", "{kind}");
    }
    let role = value(
        &rendered,
        "ClusterRoleBinding",
        "plexd-plexd-e2e",
        "/roleRef/name",
    );
    assert_eq!(role, "plexd-plexd-e2e");
    // Objects in the namespace keep their names.
    assert_eq!(
        value(&rendered, "RoleBinding", "plexd", "/roleRef/name"),
        "plexd"
    );
}

#[test]
fn a_binding_follows_its_own_role_and_keeps_a_role_of_the_cluster() {
    let binding = |name: &str, role: &str| {
        format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {name}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
             subjects: [{{kind: ServiceAccount, name: plexd, namespace: plexd-system}}]\n"
        )
    };
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: watcher}\nrules: []\n";
    let text = [
        role,
        &binding("watches", "watcher"),
        &binding("view", "view"),
    ]
    .concat();
    let rendered = in_shared_cluster(with_file("more.yaml", text)).rendered();
    let role_of = |binding| value(&rendered, "ClusterRoleBinding", binding, "/roleRef/name");
    assert_eq!(role_of("watches-plexd-e2e"), "watcher-plexd-e2e");
    assert_eq!(role_of("view-plexd-e2e"), "view");
}

#[test]
fn the_namespace_admits_the_agent_and_has_the_cells_labels() {
    let rendered = in_shared_cluster(Sources::builtin()).rendered();
    let metadata = value(&rendered, "Namespace", "plexd-e2e", "/metadata");
    for mode in ["enforce", "audit", "warn"] {
        let key = format!("pod-security.kubernetes.io/{mode}");
        assert_eq!(metadata["labels"][key], "privileged");
    }
    assert_eq!(metadata["labels"]["e2e-matrix/run"], "x7k2p");
    assert_eq!(metadata["annotations"]["e2e-matrix/image"], "mock:1");
}

#[test]
fn a_pod_security_level_of_the_manifests_is_kept() {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: plexd-system\n  labels: {pod-security.kubernetes.io/enforce: restricted}\n";
    let rendered = in_shared_cluster(with_file("namespace.yaml", namespace.to_owned())).rendered();
    let labels = value(&rendered, "Namespace", "plexd-e2e", "/metadata/labels");
    let level = |mode: &str| labels[format!("pod-security.kubernetes.io/{mode}")].clone();
    assert_eq!(
        ["enforce", "audit", "warn"].map(level),
        ["restricted", "privileged", "privileged"]
    );
}

#[test]
fn host_paths_are_in_the_cells_folder() {
    let rendered = in_shared_cluster(Sources::builtin()).rendered();
    let volumes = value(
        &rendered,
        "DaemonSet",
        "plexd",
        "/spec/template/spec/volumes",
    );
    let paths: Vec<_> = volumes
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|volume| volume.pointer("/hostPath/path"))
        .collect();
    let own = "/var/lib/plexd-e2e/plexd-e2e";
    assert_eq!(
        paths,
        [
            &json!(format!("{own}/var/lib/plexd")),
            &json!(format!("{own}/var/run/plexd"))
        ]
    );
}

#[test]
fn host_paths_of_further_pods_are_in_the_cells_folder_too() {
    let pod = "containers: [{name: c, image: c}], volumes: [{name: v, hostPath: {path: /data}}]";
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{{pod}}}\n---\n\
         apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: j}}\n\
         spec: {{schedule: '* * * * *', jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, {pod}}}}}}}}}}}\n---\n\
         apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: s}}\n\
         spec: {{serviceName: s, selector: {{matchLabels: {{a: s}}}}, template: {{metadata: {{labels: {{a: s}}}}, spec: {{{pod}}}}}}}\n"
    );
    let rendered = in_shared_cluster(with_file("further.yaml", text)).rendered();
    for (kind, name) in [("Pod", "p"), ("CronJob", "j"), ("StatefulSet", "s")] {
        let object = rendered.object(kind, name).unwrap();
        let paths: Vec<_> = object.host_paths().collect();
        assert_eq!(paths, ["/var/lib/plexd-e2e/plexd-e2e/data"], "{kind}");
    }
}

/// A pod with the host paths `/proc` and `/made`, which it only reads, and `/state`, and a pod that only reads host
/// paths.
const READERS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  containers:
    - name: writes
      image: a
      volumeMounts:
        - {name: proc, mountPath: /node/proc, readOnly: true}
        - {name: made, mountPath: /made, readOnly: true}
        - {name: state, mountPath: /state}
    - name: reads
      image: a
      volumeMounts: [{name: state, mountPath: /state, readOnly: true}]
  volumes:
    - {name: proc, hostPath: {path: /proc}}
    - {name: made, hostPath: {path: /made, type: DirectoryOrCreate}}
    - {name: state, hostPath: {path: /state}}
---
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  containers:
    - name: reads
      image: a
      volumeMounts:
        - {name: root, mountPath: /node, readOnly: true}
        - {name: state, mountPath: /state, readOnly: true}
  volumes:
    - {name: root, hostPath: {path: /, type: ''}}
    - {name: state, hostPath: {path: /state/socket}}
";

#[test]
fn host_paths_that_pods_only_read_stay_unless_the_cell_stores_data_there() {
    let rendered = in_shared_cluster(with_file("readers.yaml", READERS.to_owned())).rendered();
    let paths = |name: &str| {
        let pod = rendered.object("Pod", name).unwrap();
        let paths = pod.host_paths().map(str::to_owned);
        paths.collect::<Vec<_>>()
    };
    let own = "/var/lib/plexd-e2e/plexd-e2e";
    assert_eq!(
        paths("writer"),
        [
            "/proc".to_owned(),
            format!("{own}/made"),
            format!("{own}/state")
        ]
    );
    assert_eq!(
        paths("reader"),
        ["/".to_owned(), format!("{own}/state/socket")]
    );
}

#[test]
fn a_host_path_that_moves_is_a_folder_unless_it_is_below_the_folder_of_another_pod() {
    let rendered = in_shared_cluster(with_file("readers.yaml", READERS.to_owned())).rendered();
    let kind = |pod, index: usize| {
        let pointer = format!("/spec/volumes/{index}/hostPath/type");
        value(&rendered, "Pod", pod, &pointer).as_str()
    };
    assert_eq!(kind("writer", 2), Some("DirectoryOrCreate"));
    assert_eq!(kind("reader", 1), None);
}

#[test]
fn a_notice_names_the_host_paths_in_the_cells_folder() {
    let rendered = in_shared_cluster(with_file("readers.yaml", READERS.to_owned())).rendered();
    assert_eq!(
        rendered.notices(),
        [
            "DaemonSet plexd uses empty folders of the cell instead of these host paths: /var/lib/plexd, /var/run/plexd",
            "Pod writer uses empty folders of the cell instead of these host paths: /made, /state",
            "Pod reader uses empty folders of the cell instead of these host paths: /state/socket",
        ]
    );
    let alone = Case::new(with_file("readers.yaml", READERS.to_owned())).rendered();
    assert_eq!(alone.notices(), [""; 0]);
}

#[test]
fn the_host_paths_of_all_objects_are_known() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n\
                spec: {containers: [{name: c, image: c}], volumes: [{name: v, hostPath: {path: /of-pod}}]}\n---\n\
                apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: v}\nspec: {hostPath: {path: /of-volume}}\n";
    let rendered = Case::new(with_file("further.yaml", text.to_owned())).rendered();
    assert_eq!(
        rendered.host_paths(),
        ["/of-pod", "/of-volume", "/var/lib/plexd", "/var/run/plexd"]
    );
}

#[test]
fn changes_to_the_whole_cluster_are_rejected() {
    let class = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata:\n  name: mine\nvalue: 1\n";
    let sources = with_mock(format!("{MOCK}---\n{class}"));
    let problems = in_shared_cluster(sources).render().err().unwrap();
    assert_eq!(
        messages(&problems),
        [
            "mock/mock.yaml, document 3, line 100 (PriorityClass mine), kind: a PriorityClass affects the whole cluster, which others also use"
        ]
    );
}

#[test]
fn another_namespace_and_objects_in_it_are_rejected() {
    let other = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: other\n---\n\
                 apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: notes\n  namespace: other\n";
    let sources = with_file("other.yaml", other.to_owned());
    let problems = in_shared_cluster(sources).render().err().unwrap();
    assert_eq!(
        messages(&problems),
        [
            "deploy/kubernetes/other.yaml, document 1, line 1 (Namespace other), kind: a Namespace affects the whole cluster, which others also use",
            "deploy/kubernetes/other.yaml, document 2, line 6 (ConfigMap notes), metadata.namespace: is not the agent's namespace, and other users of the cluster may be using it",
        ]
    );
}

#[test]
fn the_agents_cluster_role_needs_its_binding_under_its_new_name_too() {
    let role = "kind: ClusterRole\n  name: plexd\n";
    let cut = edited(RBAC, role, "kind: ClusterRole\n  name: view\n");
    let problems = in_shared_cluster(with_file("rbac.yaml", cut))
        .render()
        .err();
    let messages = messages(&problems.unwrap_or_default());
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].ends_with("is a role that no binding uses"),
        "{messages:?}"
    );
}
