//! The unchanged manifests of another agent: with other file names, lists, several documents per file, and other names
//! and namespaces.

use std::collections::BTreeMap;

use super::{Case, messages, problems, value, with_manifests};
use crate::manifest::{Object, Rendered, Sources};

/// A folder as in an agent's own repository. Its files differ in form from the built-in ones.
fn foreign() -> BTreeMap<String, String> {
    let definition = definition("Namespaced", "plexdnodestates", "PlexdNodeState");
    let texts = [
        ("definitions.yml", definition),
        ("base/home.yaml", NAMESPACE.to_owned()),
        (
            "base/account.yaml",
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: plexd, namespace: agents}\n"
                .to_owned(),
        ),
        ("permissions.yaml", RBAC.to_owned()),
        ("agent.yaml", DAEMON_SET.to_owned()),
        ("more/extras.yaml", EXTRAS.to_owned()),
    ];
    texts.map(|(name, text)| (name.to_owned(), text)).into()
}

/// A definition of custom resources with this scope.
fn definition(scope: &str, plural: &str, kind: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
         metadata: {{name: {plural}.plexd.plexsphere.com}}\n\
         spec:\n  group: plexd.plexsphere.com\n  scope: {scope}\n  names: {{kind: {kind}, plural: {plural}}}\n  \
         versions: [{{name: v1alpha1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]\n"
    )
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
    rules:
      - {apiGroups: [plexd.plexsphere.com], resources: [plexdnodestates, plexdhooks/status], verbs: [get]}
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

const EXTRAS: &str = "
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: agents-first}
value: 1000
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: quiet, namespace: agents}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: agents-read-authentication, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: plexd, namespace: agents}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: elsewhere, namespace: kube-system}
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
          env:
            - {name: TOKEN, valueFrom: {secretKeyRef: {name: their-token, key: bootstrap}}}
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
    with_manifests("checkout/deploy/kubernetes", foreign())
}

/// This folder with `text` in `extra.yaml`, rendered.
fn rendered_with(text: &str) -> Rendered {
    let mut files = foreign();
    files.insert("extra.yaml".to_owned(), text.to_owned());
    Case::new(with_manifests("their", files)).rendered()
}

#[test]
fn the_agent_runs_with_its_own_manifests() {
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
fn the_namespace_is_renamed_and_keeps_its_labels() {
    let rendered = Case::new(sources()).rendered();
    let metadata = value(&rendered, "Namespace", "plexd-e2e", "/metadata");
    assert_eq!(metadata["labels"]["team"], "mesh");
    assert!(metadata.get("namespace").is_none());
}

#[test]
fn objects_of_every_kind_are_applied_in_the_order_that_clusters_need() {
    let rendered = Case::new(sources()).rendered();
    let titles: Vec<String> = rendered.objects().map(Object::title).collect();
    insta::assert_snapshot!(titles.join("\n"));
    let place = |kind, name| rendered.object(kind, name).unwrap().namespace.as_deref();
    assert_eq!(place("NetworkPolicy", "quiet"), Some("plexd-e2e"));
    assert_eq!(place("PriorityClass", "agents-first"), None);
}

#[test]
fn objects_of_another_namespace_stay_there() {
    let rendered = Case::new(sources()).rendered();
    let binding = rendered
        .objects()
        .find(|object| object.kind == "RoleBinding");
    let binding = binding.unwrap_or_else(|| unreachable!("the folder has one"));
    assert_eq!(binding.namespace.as_deref(), Some("kube-system"));
    let account = binding.value.pointer("/subjects/0/namespace");
    assert_eq!(
        account,
        Some(&"plexd-e2e".into()),
        "the account is the cell's"
    );
    assert!(rendered.object("ConfigMap", "elsewhere").is_none());
}

#[test]
fn a_selector_ignores_the_pods_of_other_namespaces() {
    let pod = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\n\
             metadata: {{name: probe, namespace: {namespace}, labels: {{app.kubernetes.io/name: plexd}}}}\n\
             spec: {{containers: [{{name: probe, image: 'probe:1'}}]}}\n"
        )
    };
    assert_eq!(outcome_with(&pod("kube-system"), None), "agent: mesh-agent");
    let found = outcome_with(&pod("agents"), None);
    assert!(
        found.ends_with("also selects the pods of Pod probe"),
        "{found}"
    );
}

#[test]
fn a_custom_resource_is_cluster_scoped_if_its_definition_says_so() {
    let resource = |kind: &str| {
        format!(
            "apiVersion: plexd.plexsphere.com/v1alpha1\nkind: {kind}\nmetadata: {{name: it, namespace: agents}}\n"
        )
    };
    let texts = [
        resource("Zone"),
        resource("Route"),
        definition("Cluster", "zones", "Zone"),
        definition("Namespaced", "routes", "Route"),
    ];
    let rendered = rendered_with(&texts.join("---\n"));
    let namespace = |kind| value(&rendered, kind, "it", "/metadata/namespace");
    assert_eq!(namespace("Zone"), &serde_json::Value::Null);
    assert_eq!(namespace("Route"), "plexd-e2e");
}

#[test]
fn the_last_of_equal_keys_counts() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes, labels: {a: first, a: last}}\n\
                data: {one: text}\ndata: {two: text}\n";
    let rendered = rendered_with(text);
    let notes = value(&rendered, "ConfigMap", "notes", "");
    assert_eq!(
        notes["metadata"]["labels"],
        serde_json::json!({ "a": "last" })
    );
    assert_eq!(notes["data"], serde_json::json!({ "two": "text" }));
}

#[test]
fn only_the_items_of_a_list_are_objects() {
    let text = "apiVersion: v1\nkind: List\nitems:\n---\napiVersion: v1\nkind: ConfigMapList\nitems: []\n---\n\
                apiVersion: example.com/v1\nkind: Menu\nmetadata: {name: lunch}\nitems: [soup]\n";
    let rendered = rendered_with(text);
    let menu = value(&rendered, "Menu", "lunch", "/items");
    assert_eq!(menu, &serde_json::json!(["soup"]));
}

#[test]
fn the_cluster_adds_the_keys_of_an_accounts_token() {
    let secret = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/service-account-token\n\
                  metadata:\n  name: account\n  namespace: agents\n  \
                  annotations: {kubernetes.io/service-account.name: plexd}\n";
    let found = |key: &str| {
        let agent = DAEMON_SET.replace(
            "name: their-token, key: bootstrap",
            &format!("name: account, key: {key}"),
        );
        let mut files = foreign();
        files.insert("agent.yaml".to_owned(), agent);
        files.insert("secret.yaml".to_owned(), secret.to_owned());
        problems(with_manifests("their", files))
    };
    for key in ["token", "ca.crt", "namespace"] {
        assert_eq!(found(key), [""; 0]);
    }
    let found = found("tokens").join("\n");
    assert!(
        found.ends_with("the Secret `account` has no key `tokens`"),
        "{found}"
    );
}

#[test]
fn missing_objects_are_added_with_a_notice() {
    let rendered = Case::new(sources()).rendered();
    let token = value(&rendered, "Secret", "their-token", "/data/bootstrap");
    assert_eq!(token, "YS10b2tlbi1vZi10aGUtdGVzdHM=");
    let config = value(&rendered, "ConfigMap", "their-config", "/data/config.yaml");
    assert!(
        config
            .as_str()
            .unwrap()
            .contains("http://mock-api.plexd-e2e:8080")
    );
    assert!(rendered.object("Secret", "plexd-bootstrap").is_none());
    insta::assert_snapshot!(rendered.notices().join("\n"));
}

#[test]
fn the_token_and_the_configuration_replace_those_of_the_manifests() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: plexd-bootstrap, namespace: agents}\n\
                  stringData: {token: theirs, other: kept}\n";
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: their-config, namespace: agents, labels: {a: b}}\n\
                  data: {agent.yaml: 'api: https://production.example'}\n";
    let mut files = foreign();
    files.insert("secret.yaml".to_owned(), secret.to_owned());
    files.insert("config.yaml".to_owned(), config.to_owned());
    files.insert(
        "agent.yaml".to_owned(),
        DAEMON_SET.replace("their-token, key: bootstrap", "plexd-bootstrap, key: token"),
    );
    let sources = with_manifests("their", files);
    let rendered = Case::new(sources).rendered();
    let secret = value(&rendered, "Secret", "plexd-bootstrap", "");
    assert_eq!(secret["data"]["token"], "YS10b2tlbi1vZi10aGUtdGVzdHM=");
    assert_eq!(secret["stringData"], serde_json::json!({ "other": "kept" }));
    let config = value(&rendered, "ConfigMap", "their-config", "");
    assert_eq!(config["metadata"]["labels"]["a"], "b");
    let text = config["data"]["agent.yaml"].as_str().unwrap();
    assert!(text.contains("mock-api.plexd-e2e") && !text.contains("production"));
}

/// Renders this folder with `text` in `extra.yaml` and `daemonset = "<wanted>"`. Returns the agent, or the problems.
fn outcome_with(text: &str, wanted: Option<&str>) -> String {
    let mut files = foreign();
    files.insert("extra.yaml".to_owned(), text.to_owned());
    let sources = with_manifests("their", files);
    let mut case = Case::new(sources);
    case.daemon_set = wanted.map(str::to_owned);
    match case.render() {
        Ok(rendered) => {
            let name = &rendered.agent().daemon_set.metadata.name;
            format!("agent: {}", name.as_deref().unwrap_or_default())
        }
        Err(problems) => messages(&problems).join("\n"),
    }
}

#[test]
fn the_agent_is_the_named_daemon_set_or_the_only_one_or_plexd() {
    let second = DAEMON_SET
        .replace("name: mesh-agent", "name: sidecar")
        .replace("name: plexd}", "name: sidecar}");
    assert_eq!(outcome_with("", None), "agent: mesh-agent");
    assert_eq!(
        outcome_with(&second, Some("mesh-agent")),
        "agent: mesh-agent"
    );
    assert_eq!(
        outcome_with(&second.replace("name: sidecar,", "name: plexd,"), None),
        "agent: plexd"
    );
    insta::assert_snapshot!(
        [outcome_with(&second, None), outcome_with("", Some("mesh"))].join("\n")
    );
}
