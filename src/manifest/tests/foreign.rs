//! A foreign folder as it is: other files beside the known ones, lists, several documents, other container names.

use std::collections::BTreeMap;

use super::{Case, value};
use crate::manifest::{Folder, Sources};

/// A folder as an agent's own repository may have it, in the shapes that differ from ours.
fn foreign() -> BTreeMap<String, String> {
    let crd = |plural: &str, kind: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
             metadata: {{name: {plural}.plexd.plexsphere.com}}\n\
             spec:\n  group: plexd.plexsphere.com\n  scope: Namespaced\n  names: {{kind: {kind}, plural: {plural}}}\n  \
             versions: [{{name: v1alpha1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]\n"
        )
    };
    let texts = [
        (
            "crds/plexdnodestate-crd.yaml",
            crd("plexdnodestates", "PlexdNodeState"),
        ),
        ("crds/plexdhook-crd.yaml", crd("plexdhooks", "PlexdHook")),
        ("namespace.yaml", NAMESPACE.to_owned()),
        ("secret.yaml", "this: [is not read\n".to_owned()),
        (
            "serviceaccount.yaml",
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: plexd, namespace: agents}\n"
                .to_owned(),
        ),
        ("rbac.yaml", RBAC.to_owned()),
        ("daemonset.yaml", DAEMON_SET.to_owned()),
        ("monitoring.yaml", "kind: ServiceMonitor\n".to_owned()),
        ("README.md", "# Deploying\n".to_owned()),
    ];
    texts.map(|(name, text)| (name.to_owned(), text)).into()
}

const NAMESPACE: &str =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: agents, labels: {team: mesh}}\n";

const RBAC: &str = "
apiVersion: v1
kind: List
items:
  - apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata: {name: plexd}
    rules: []
  - apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata: {name: plexd}
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: plexd}
    subjects: [{kind: ServiceAccount, name: plexd, namespace: agents}]
---
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: []
";

const DAEMON_SET: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: mesh-agent, namespace: agents}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: plexd}}
  template:
    metadata: {labels: {app.kubernetes.io/name: plexd}}
    spec:
      serviceAccountName: plexd
      initContainers:
        - {name: prepare, image: 'vendor/agent:1', command: [prepare]}
      containers:
        - name: main
          image: vendor/agent:1
          args: [up]
          resources: {limits: {cpu: 1}}
          volumeMounts:
            - {name: config, mountPath: /etc/plexd}
            - {name: scratch, mountPath: /tmp}
      volumes:
        - name: config
          configMap: {name: their-config, optional: true, defaultMode: 0644}
        - name: scratch
          emptyDir: {}
";

fn sources() -> Sources {
    Sources::builtin().with_manifests(Folder::new("checkout/deploy/kubernetes", foreign()))
}

#[test]
fn it_works_as_it_is() {
    let rendered = Case::new(sources()).rendered();
    assert_eq!(rendered.agent().container, "main");
    let pod = value(&rendered, "DaemonSet", "mesh-agent", "/spec/template/spec");
    assert_eq!(pod["containers"][0]["image"], "plexd:0123abcd");
    assert_eq!(pod["initContainers"][0]["image"], "plexd:0123abcd");
    assert_eq!(pod["initContainers"][0]["command"][0], "prepare");
    assert_eq!(pod["volumes"][0]["configMap"]["defaultMode"], 0o644);
    assert_eq!(pod["volumes"][1]["emptyDir"], serde_json::json!({}));
    assert_eq!(
        value(
            &rendered,
            "ClusterRoleBinding",
            "plexd",
            "/subjects/0/namespace"
        ),
        "plexd-e2e"
    );
    assert!(rendered.object("ClusterRole", "reader").is_some());
}

#[test]
fn its_namespace_keeps_its_labels_under_the_cells_name() {
    let rendered = Case::new(sources()).rendered();
    let metadata = value(&rendered, "Namespace", "plexd-e2e", "/metadata");
    assert_eq!(metadata["labels"]["team"], "mesh");
    assert!(metadata.get("namespace").is_none());
}

#[test]
fn files_that_are_not_applied_are_named() {
    assert_eq!(
        Case::new(sources()).rendered().notices(),
        [
            "checkout/deploy/kubernetes/monitoring.yaml is not applied: it is none of the files that a deployment is made of",
            "checkout/deploy/kubernetes/rbac.yaml, document 2, line 16 (ClusterRole reader) is a role that no binding uses: the agent runs without it"
        ]
    );
}
