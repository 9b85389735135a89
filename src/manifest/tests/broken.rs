//! Broken manifests, each with the place and message of its problem.

use super::{
    Case, DAEMON_SET, MOCK, RBAC, edited, messages, problems, with_file, with_files, with_mock,
};

/// Each row: the file, the text that is replaced, its replacement, and the reported problem.
const TABLE: &[(&str, &str, &str, &str)] = &[
    (
        "daemonset.yaml",
        "name: plexd-bootstrap",
        "name: plexd-boot",
        "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), \
         spec.template.spec.containers[0].env[1].valueFrom.secretKeyRef: refers to the Secret `plexd-boot`, which the manifests don't define",
    ),
    (
        "daemonset.yaml",
        "name: plexd-config",
        "name: plexd-conf",
        "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), \
         spec.template.spec.volumes[0].configMap: refers to the ConfigMap `plexd-conf`, which the manifests don't define",
    ),
    (
        "daemonset.yaml",
        "serviceAccountName: plexd",
        "serviceAccountName: plexed",
        "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), \
         spec.template.spec.serviceAccountName: refers to the ServiceAccount `plexed`, which the manifests don't define",
    ),
    (
        "daemonset.yaml",
        "            - name: run\n              mountPath",
        "            - name: runtime\n              mountPath",
        "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), \
         spec.template.spec.containers[0].volumeMounts[2].name: mounts `runtime`, which is not a volume of the pod",
    ),
    (
        "daemonset.yaml",
        "    matchLabels:\n      app.kubernetes.io/name: plexd",
        "    matchLabels:\n      app.kubernetes.io/name: plexed",
        "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), \
         spec.selector: does not match `spec.template.metadata.labels`",
    ),
    (
        "daemonset.yaml",
        "- name: health",
        "- name: healthy",
        "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), \
         spec.template.spec.containers[0].livenessProbe: probes port `health`, which the container does not have",
    ),
    (
        "daemonset.yaml",
        "kind: DaemonSet",
        "kind: StatefulSet",
        "deploy/kubernetes: has no DaemonSet, so nothing runs the agent",
    ),
    (
        "daemonset.yaml",
        "  name: plexd\n  namespace",
        "  namespace",
        "deploy/kubernetes/daemonset.yaml, document 1, line 5, metadata.name: is missing, empty or not a string",
    ),
    (
        "daemonset.yaml",
        "      containers:\n",
        "      containers:\n        - {name: one, image: 'a:1'}\n        - {name: plexd2, image: 'a:1'}\n        - {name: two, image: 'b:1'}\n      ignored:\n",
        "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), \
         spec.template.spec.containers: none of its 3 containers is called `plexd`",
    ),
    (
        "rbac.yaml",
        "  - kind: ServiceAccount\n    name: plexd",
        "  - kind: ServiceAccount\n    name: plexed",
        "deploy/kubernetes/rbac.yaml, document 2, line 34 (ClusterRoleBinding plexd), \
         subjects[0]: refers to the ServiceAccount `plexed`, which the manifests don't define",
    ),
    (
        "mock.yaml",
        "  selector:\n    app.kubernetes.io/name: mock-api",
        "  selector:\n    app.kubernetes.io/name: mock",
        "mock/mock.yaml, document 2, line 78 (Service mock-api), \
         spec.selector: selects no pod in the manifests",
    ),
    (
        "mock.yaml",
        "port: 8443\n      targetPort",
        "port: 443\n      targetPort",
        "(created by the run) (ConfigMap plexd-config), data.config.yaml: metrics.local_endpoint.url: \
         `https://mock-api.plexd-e2e:8443/local/metrics` refers to port 8443, which the Service does not have",
    ),
    (
        "mock.yaml",
        "replicas: 1",
        "replicas: 2",
        "mock/mock.yaml, document 1, line 2 (Deployment mock-api), spec.replicas: is not 1",
    ),
];

#[test]
fn each_problem_is_reported_at_its_place() {
    for (file, from, to, expected) in TABLE {
        let found = match *file {
            "daemonset.yaml" => problems(with_file(file, edited(DAEMON_SET, from, to))),
            "rbac.yaml" => problems(with_file(file, edited(RBAC, from, to))),
            _ => problems(with_mock(edited(MOCK, from, to))),
        };
        assert!(
            found.iter().any(|problem| problem == expected),
            "expected {expected:?}, got {found:#?}"
        );
    }
}

#[test]
fn everything_is_reported_at_once() {
    let mount = "- name: run\n              mount";
    let text = edited(DAEMON_SET, mount, "- name: runs\n              mount");
    let problems = problems(with_files([
        ("rbac.yaml", "kind: [".to_owned()),
        ("daemonset.yaml", text),
    ]));
    insta::assert_snapshot!(problems.join("\n"));
}

#[test]
fn the_remedy_for_a_helm_template_is_its_chart() {
    let template = "metadata:\n  name: {{ .Release.Name }}\n".to_owned();
    let problems = Case::new(with_file("rbac.yaml", template)).render();
    let remedy = &problems.err().unwrap()[0].remedy;
    assert!(remedy.contains("use `chart`"), "{remedy}");
}

#[test]
fn a_variant_that_points_to_another_namespace_is_reported() {
    let config = serde_json::json!({ "api": { "base_url": "http://mock-api.plexd-system:8080" } });
    let problems = Case::builtin().with_config(config).render().err().unwrap();
    assert_eq!(
        messages(&problems),
        [
            "(created by the run) (ConfigMap plexd-config), data.config.yaml: api.base_url: \
          `http://mock-api.plexd-system:8080` refers to a namespace other than the cell's"
        ]
    );
    assert!(problems[0].remedy.contains("mock-api.plexd-e2e"));
}

#[test]
fn a_url_outside_the_cluster_is_not_checked() {
    let config = serde_json::json!({ "updates": { "url": "https://releases.example:443/plexd", "at": "http://10.0.0.1" } });
    Case::builtin().with_config(config).rendered();
}

#[test]
fn two_objects_with_the_same_name_are_reported() {
    let text = format!("{DAEMON_SET}---\n{DAEMON_SET}");
    assert_eq!(
        problems(with_file("daemonset.yaml", text)),
        [
            "deploy/kubernetes/daemonset.yaml, document 2, line 121 (DaemonSet plexd): is defined twice"
        ]
    );
}
