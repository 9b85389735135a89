//! A run makes these changes to the manifests, and no others.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::object::Object;
use super::super::patch;
use super::super::{Place, PullPolicy};
use super::fuzz::tree;
use super::{Case, DAEMON_SET, RBAC, edited, value, with_file};

const AGENT: &str = "/spec/template/spec/containers/0";

#[test]
fn the_agents_image_pull_policy_and_environment_are_set() {
    let mut case = Case::builtin();
    case.env = [
        ("RUST_LOG".to_owned(), "debug".to_owned()),
        ("MY_NODE_NAME".to_owned(), "fixed".to_owned()),
    ]
    .into();
    let rendered = case.rendered();
    let agent = value(&rendered, "DaemonSet", "plexd", AGENT);
    assert_eq!(agent["image"], "plexd:0123abcd");
    assert_eq!(agent["imagePullPolicy"], "Never");
    let env = agent["env"].as_array().unwrap();
    assert_eq!(env[0], json!({ "name": "MY_NODE_NAME", "value": "fixed" }));
    assert_eq!(env[2], json!({ "name": "RUST_LOG", "value": "debug" }));
    assert_eq!(env.len(), 3);
}

#[test]
fn probes_are_removed_only_on_request() {
    let startup =
        "          startupProbe: {tcpSocket: {port: health}}\n          readinessProbe:\n";
    let text = edited(DAEMON_SET, "          readinessProbe:\n", startup);
    let mut case = Case::new(with_file("daemonset.yaml", text));
    let has_probes = |case: &Case| {
        let rendered = case.rendered();
        let container = value(&rendered, "DaemonSet", "plexd", AGENT).clone();
        ["startupProbe", "livenessProbe", "readinessProbe"]
            .map(|probe| container.get(probe).is_some())
    };
    assert_eq!(has_probes(&case), [true; 3]);
    case.probes = false;
    assert_eq!(has_probes(&case), [false; 3]);
    let rendered = case.rendered();
    let mock = value(&rendered, "Deployment", "mock-api", AGENT);
    assert!(
        mock.get("readinessProbe").is_some(),
        "the mock keeps its own"
    );
}

#[test]
fn accounts_in_other_namespaces_are_preserved() {
    let text = RBAC.replace(
        "subjects:\n",
        "subjects:\n  - {kind: ServiceAccount, name: prometheus, namespace: monitoring}\n  - {kind: Group, name: ops}\n",
    );
    let rendered = Case::new(with_file("rbac.yaml", text)).rendered();
    let subjects = value(&rendered, "ClusterRoleBinding", "plexd", "/subjects");
    let namespaces: Vec<&Value> = subjects
        .as_array()
        .unwrap()
        .iter()
        .map(|subject| &subject["namespace"])
        .collect();
    assert_eq!(
        namespaces,
        [&json!("monitoring"), &Value::Null, &json!("plexd-e2e")]
    );
    let role = value(&rendered, "ClusterRole", "plexd", "/metadata");
    assert!(role.get("namespace").is_none());
    assert_eq!(
        value(&rendered, "Role", "plexd", "/metadata/namespace"),
        "plexd-e2e"
    );
}

#[test]
fn users_and_groups_of_accounts_move_with_their_namespace() {
    let expected = [
        (
            "Group",
            "system:serviceaccounts:plexd-system",
            "system:serviceaccounts:plexd-e2e",
        ),
        (
            "User",
            "system:serviceaccount:plexd-system:plexd",
            "system:serviceaccount:plexd-e2e:plexd",
        ),
        (
            "Group",
            "system:serviceaccounts:monitoring",
            "system:serviceaccounts:monitoring",
        ),
        ("Group", "system:serviceaccounts", "system:serviceaccounts"),
        ("User", "plexd-system", "plexd-system"),
    ];
    let subjects =
        expected.map(|(kind, name, _)| format!("  - {{kind: {kind}, name: '{name}'}}\n"));
    let text = RBAC.replace("subjects:\n", &format!("subjects:\n{}", subjects.concat()));
    let rendered = Case::new(with_file("rbac.yaml", text)).rendered();
    let subjects = value(&rendered, "ClusterRoleBinding", "plexd", "/subjects");
    for (index, (_, _, name)) in expected.into_iter().enumerate() {
        assert_eq!(subjects[index]["name"], name);
    }
}

#[test]
fn variables_are_added_to_a_container_without_variables() {
    for env in [json!({ "env": null }), json!({ "env": [] }), json!({})] {
        let mut object = workload(&json!({ "containers": [env] }));
        patch::set_env(&mut object, 0, &[("A".to_owned(), "b".to_owned())].into());
        let env = &object.value.pointer(AGENT).unwrap()["env"];
        assert_eq!(env, &json!([{ "name": "A", "value": "b" }]));
    }
}

/// Objects with references to a Service in `namespace`.
fn with_services(namespace: &str) -> [Value; 4] {
    let service = json!({ "name": "plexd", "namespace": namespace });
    let client = json!({ "service": service });
    let webhooks = |kind: &str| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": { "name": "checks" },
            "webhooks": [{
                "name": "checks.example.com",
                "clientConfig": client,
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }],
        })
    };
    let api = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": { "name": "v1.example.com" },
        "spec": {
            "group": "example.com",
            "version": "v1",
            "service": service,
            "groupPriorityMinimum": 1,
            "versionPriority": 1,
        },
    });
    let conversion = json!({ "clientConfig": client, "conversionReviewVersions": ["v1"] });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "routes.example.org" },
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": { "kind": "Route", "plural": "routes" },
            "versions": [{ "name": "v1", "served": true, "storage": true }],
            "conversion": { "strategy": "Webhook", "webhook": conversion },
        },
    });
    let (mutating, validating) = (
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    );
    [webhooks(mutating), webhooks(validating), api, definition]
}

#[test]
fn references_to_services_follow_the_agents_namespace() {
    for (namespace, expected) in [("plexd-system", "plexd-e2e"), ("other", "other")] {
        let objects = with_services(namespace).map(|object| object.to_string());
        let rendered = Case::new(with_file("services.yaml", objects.join("\n---\n"))).rendered();
        for expected in with_services(expected) {
            let kind = expected["kind"].as_str().unwrap();
            let name = expected["metadata"]["name"].as_str().unwrap();
            assert_eq!(value(&rendered, kind, name, ""), &expected);
        }
    }
}

#[test]
fn only_containers_with_the_same_image_get_the_new_one() {
    let mut object = workload(&json!({
        "initContainers": [{ "name": "prepare", "image": "a:1" }, { "name": "wait", "image": "b:1" }],
        "containers": [{ "name": "helper", "image": "c:1" }, { "name": "plexd", "image": "a:1" }],
    }));
    patch::set_image(&mut object, 1, "new:1", PullPolicy::IfNotPresent);
    let image = |pointer: &str| object.value.pointer(pointer).unwrap()["image"].clone();
    assert_eq!(image("/spec/template/spec/initContainers/0"), "new:1");
    assert_eq!(image("/spec/template/spec/initContainers/1"), "b:1");
    assert_eq!(image("/spec/template/spec/containers/0"), "c:1");
    assert_eq!(image("/spec/template/spec/containers/1"), "new:1");
}

fn workload(pod: &Value) -> Object {
    let value = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": "plexd" },
        "spec": { "template": { "spec": pod } },
    });
    let source = Place::file("daemonset.yaml");
    Object::read(value, source).unwrap()
}

proptest! {
    /// Each patch preserves fields that the runner doesn't know.
    #[test]
    fn patches_keep_unknown_fields(unknown in tree(), other in tree()) {
        let mut object = workload(&json!({
            "x-unknown": unknown,
            "containers": [{ "name": "plexd", "image": "a:1", "x-unknown": other, "env": [] }],
        }));
        patch::set_namespace(&mut object, "somewhere");
        patch::set_image(&mut object, 0, "new:1", PullPolicy::Never);
        patch::set_env(&mut object, 0, &[("A".to_owned(), "b".to_owned())].into());
        patch::remove_probes(&mut object);
        prop_assert_eq!(&object.value["spec"]["template"]["spec"]["x-unknown"], &unknown);
        prop_assert_eq!(&object.value.pointer(AGENT).unwrap()["x-unknown"], &other);
    }
}
