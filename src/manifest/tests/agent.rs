//! The agent's namespace and container, if the manifests leave them open.

use super::{Case, DAEMON_SET, edited, messages, value, with_file};
use crate::manifest::Sources;

/// The built-in manifests without namespaces on objects, as in a chart. Bindings expect the agent's account in `agents`.
fn chart() -> Sources {
    let mut sources = Sources::builtin();
    for text in sources.manifests.files.values_mut() {
        *text = text
            .replace("\n  namespace: plexd-system\n", "\n")
            .replace("namespace: plexd-system", "namespace: agents")
            .replace(
                "subjects:\n",
                "subjects:\n  - {kind: ServiceAccount, name: prometheus, namespace: monitoring}\n",
            );
    }
    sources
}

/// The namespaces of the subjects of a binding.
fn subjects(sources: Sources, kind: &str) -> [String; 2] {
    let rendered = Case::new(sources).rendered();
    let namespace = |index| {
        let pointer = format!("/subjects/{index}/namespace");
        let namespace = value(&rendered, kind, "plexd", &pointer);
        namespace.as_str().unwrap().to_owned()
    };
    [namespace(0), namespace(1)]
}

#[test]
fn an_agent_without_a_namespace_belongs_where_bindings_expect_its_account() {
    for kind in ["ClusterRoleBinding", "RoleBinding"] {
        assert_eq!(subjects(chart(), kind), ["monitoring", "plexd-e2e"]);
    }
}

#[test]
fn if_bindings_expect_the_account_in_several_namespaces_the_defined_one_counts() {
    let mut sources = chart();
    let files = &mut sources.manifests.files;
    let rbac = files.get_mut("rbac.yaml").unwrap();
    *rbac = rbac.replacen("namespace: agents", "namespace: others", 1);
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: agents}\n";
    files.insert("namespace.yaml".to_owned(), namespace.to_owned());
    assert_eq!(
        subjects(sources.clone(), "ClusterRoleBinding"),
        ["monitoring", "others"]
    );
    assert_eq!(
        subjects(sources, "RoleBinding"),
        ["monitoring", "plexd-e2e"]
    );
}

#[test]
fn a_binding_for_the_default_account_of_kube_system_is_not_for_the_agent() {
    for (namespace, expected) in [("kube-system", "kube-system"), ("agents", "plexd-e2e")] {
        let binding = format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: viewer}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}\n\
             subjects: [{{kind: ServiceAccount, name: default, namespace: {namespace}}}]\n"
        );
        let mut sources = chart();
        let files = &mut sources.manifests.files;
        let agent = files.get_mut("daemonset.yaml").unwrap();
        *agent = agent.replace("      serviceAccountName: plexd\n", "");
        files.insert("viewer.yaml".to_owned(), binding);
        let rendered = Case::new(sources).rendered();
        let pointer = "/subjects/0/namespace";
        let found = value(&rendered, "ClusterRoleBinding", "viewer", pointer);
        assert_eq!(found, expected);
    }
}

#[test]
fn references_to_the_namespace_that_charts_are_rendered_for_follow_the_cells() {
    let webhook = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n\
                   metadata: {name: checks}\nwebhooks:\n  - name: checks.example.com\n    sideEffects: 'None'\n    \
                   admissionReviewVersions: [v1]\n    \
                   clientConfig: {service: {name: plexd, namespace: plexd-e2e}}\n";
    let mut sources = chart();
    let files = &mut sources.manifests.files;
    files.remove("rbac.yaml");
    files.insert("webhook.yaml".to_owned(), webhook.to_owned());
    let mut case = Case::new(sources);
    case.namespace = "plexd-e2e-1";
    let rendered = case.rendered();
    let pointer = "/webhooks/0/clientConfig/service/namespace";
    let found = value(
        &rendered,
        "ValidatingWebhookConfiguration",
        "checks",
        pointer,
    );
    assert_eq!(found, "plexd-e2e-1");
}

/// The built-in manifests with the containers `proxy` and `main`, and an annotation that names `container`.
fn annotated(container: &str) -> Sources {
    let name = "        - name: plexd\n";
    let labels = "    metadata:\n      labels:\n";
    let annotations =
        format!("annotations: {{kubectl.kubernetes.io/default-container: {container}}}");
    let proxy = "        - {name: proxy, image: 'proxy:1'}\n        - name: main\n";
    let annotated = format!("    metadata:\n      {annotations}\n      labels:\n");
    let text = edited(&edited(DAEMON_SET, name, proxy), labels, &annotated);
    with_file("daemonset.yaml", text)
}

#[test]
fn an_annotation_selects_the_agents_container_if_none_has_its_name() {
    let rendered = Case::new(annotated("main")).rendered();
    assert_eq!(rendered.agent().container, "main");
    let problems = Case::new(annotated("missing")).render().err().unwrap();
    assert!(
        messages(&problems)[0].ends_with("none of its 2 containers is called `plexd`"),
        "{problems:?}"
    );
    let annotation = "the annotation `kubectl.kubernetes.io/default-container`";
    assert!(problems[0].remedy.contains(annotation), "{problems:?}");
}
