//! Objects that the API server would reject, and roles without bindings, are reported before any cluster is created.

use super::{Case, DAEMON_SET, MOCK, RBAC, edited, messages, with_file, with_mock};
use crate::manifest::Sources;

/// Replacements in the file of the DaemonSet. Each makes it invalid.
const DAEMON_SET_EDITS: &[(&str, &str)] = &[
    (
        "        - name: run\n          hostPath",
        "        - name: data\n          hostPath",
    ),
    ("mountPath: /var/run/plexd", "mountPath: /var/lib/plexd"),
    (
        "              protocol: TCP\n",
        "              protocol: TCP\n            - name: health\n              containerPort: 9101\n            - name: other\n              containerPort: 9100\n",
    ),
    (
        "            - name: MY_NODE_NAME\n",
        "            - {name: PLEXD_BOOTSTRAP_TOKEN, value: x}\n            - name: MY_NODE_NAME\n",
    ),
    ("              cpu: 50m\n", "              cpu: 50mm\n"),
    (
        "              memory: 256Mi\n",
        "              memory: 256MB\n",
    ),
    ("              cpu: 50m\n", "              cpu: -1\n"),
    (
        "      volumes:\n",
        "      volumes:\n        - {name: scratch, emptyDir: {sizeLimit: lots}}\n",
    ),
    (
        "      containers:\n",
        "      initContainers:\n        - {name: plexd, image: 'a:1'}\n      containers:\n",
    ),
    (
        "mountPath: /var/run/plexd\n",
        "mountPath: /var/run/plexd\n              readonly: true\n",
    ),
    ("hostNetwork: true", "hostNetwork: 'yes'"),
    ("containerPort: 9100", "containerPort: nine"),
    ("apiVersion: apps/v1\n", "apiVersion: apps/v1beta1\n"),
    (
        "hostNetwork: true\n",
        "hostNetwork: true\n      hostNet: null\n      nodeSelektor: {}\n",
    ),
    (
        "terminationGracePeriodSeconds: 10\n",
        "terminationGracePeriodSeconds: -1\n",
    ),
    (
        "      containers:\n",
        "      initContainers:\n        - {name: init, image: 'a:1', imagePullPolicy: Sometimes}\n      containers:\n",
    ),
    (
        "mountPath: /etc/plexd\n",
        "mountPath: /etc/plexd/config.yaml\n              subPath: config.yml\n",
    ),
];

#[test]
fn an_invalid_secret_value_is_not_quoted() {
    let variables =
        "            - {name: API_TOKEN, value: 48151623}\n            - name: MY_NODE_NAME\n";
    let text = DAEMON_SET.replace("            - name: MY_NODE_NAME\n", variables);
    let problems = Case::new(with_file("daemonset.yaml", text)).render();
    let messages = messages(&problems.err().unwrap()).join("\n");
    assert!(messages.contains("can't be decoded"), "{messages}");
    assert!(!messages.contains("48151623"), "{messages}");
}

#[test]
fn the_remedy_for_a_secret_without_base64_is_string_data() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: other}\ndata: {key: not base64}\n";
    let problems = Case::new(with_file("other.yaml", secret.to_owned())).render();
    let remedy = &problems.err().unwrap()[0].remedy;
    assert!(remedy.contains("`stringData`"), "{remedy}");
}

#[test]
fn an_invalid_daemon_set_is_reported() {
    let edits = DAEMON_SET_EDITS.iter();
    let texts = edits.map(|(from, to)| edited(DAEMON_SET, from, to));
    let found: Vec<_> = texts
        .map(|text| problems(with_file("daemonset.yaml", text)))
        .collect();
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn an_invalid_service_is_reported() {
    let ports = "  ports:\n    - name: http\n      port: 8080\n";
    let twice = "  ports:\n    - {name: https, port: 8080}\n    - name: http\n      port: 8080\n";
    let text = edited(MOCK, ports, twice);
    let text = edited(&text, "type: ClusterIP", "typ: ClusterIP");
    insta::assert_snapshot!(problems(with_mock(text)));
}

#[test]
fn fields_of_every_kind_are_checked() {
    let text = RBAC
        .replacen("verbs:", "verb:", 1)
        .replace("roleRef:\n", "roleReference: plexd\nroleRef:\n");
    insta::assert_snapshot!(problems(with_file("rbac.yaml", text)));
}

#[test]
fn the_agents_own_cluster_role_needs_its_binding_even_if_there_are_others() {
    let cut = RBAC.replacen(
        "kind: ClusterRole\n  name: plexd\n",
        "kind: ClusterRole\n  name: view\n",
        1,
    );
    insta::assert_snapshot!(problems(with_file("rbac.yaml", cut)));
}

fn problems(sources: Sources) -> String {
    messages(&Case::new(sources).render().err().unwrap()).join("\n")
}
