//! Pods may have any labels, as long as each selector matches only the pods of its own workload.

use super::{Case, DAEMON_SET, MOCK, messages, problems, with_file, with_mock};
use crate::manifest::selects;

#[test]
fn other_labels_on_agent_and_mock_are_accepted() {
    let daemon_set = DAEMON_SET.replace("app.kubernetes.io/name: plexd", "app: mesh");
    let mock = MOCK.replace("app.kubernetes.io/name: mock-api", "role: central");
    let mut sources = with_file("daemonset.yaml", daemon_set);
    sources.mock = with_mock(mock).mock;
    let rendered = Case::new(sources).rendered();
    let selector = &rendered.agent().daemon_set.spec.selector;
    assert!(selects(
        selector,
        &[("app".to_owned(), "mesh".to_owned())].into()
    ));
}

#[test]
fn a_selector_that_selects_the_pods_of_another_workload_is_reported() {
    let daemon_set = DAEMON_SET.replace(
        "    matchLabels:\n      app.kubernetes.io/name: plexd\n",
        "    matchExpressions:\n      - {key: app.kubernetes.io/name, operator: In, values: [plexd, mock-api]}\n",
    );
    let sources = with_file("daemonset.yaml", daemon_set);
    let problems = Case::new(sources).render().err().unwrap();
    insta::assert_snapshot!(messages(&problems).join("\n"), @"deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), spec.selector: also selects the pods of Deployment mock-api");
}

#[test]
fn labels_that_the_mocks_selector_also_selects_are_reported() {
    let daemon_set = DAEMON_SET.replace(
        "      labels:\n        app.kubernetes.io/name: plexd\n",
        "      labels:\n        app.kubernetes.io/name: plexd\n        role: central\n",
    );
    let mock = MOCK.replace("app.kubernetes.io/name: mock-api", "role: central");
    let mut sources = with_file("daemonset.yaml", daemon_set);
    sources.mock = with_mock(mock).mock;
    let problems = Case::new(sources).render().err().unwrap();
    insta::assert_snapshot!(messages(&problems).join("\n"), @"mock/mock.yaml, document 1, line 2 (Deployment mock-api), spec.selector: also selects the pods of DaemonSet plexd");
}

#[test]
fn other_pods_with_the_agents_labels_are_reported_regardless_of_their_owner() {
    let labels = "metadata: {labels: {app.kubernetes.io/name: plexd}}";
    let found = problems(with_file(
        "extra.yaml",
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: one, labels: {{app.kubernetes.io/name: plexd}}}}\n\
             spec: {{containers: []}}\n---\n\
             apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: nightly}}\n\
             spec: {{jobTemplate: {{spec: {{template: {{{labels}, spec: {{containers: []}}}}}}}}}}\n---\n\
             apiVersion: batch/v1\nkind: Job\nmetadata: {{name: once}}\n\
             spec: {{template: {{{labels}, spec: {{containers: []}}}}}}\n"
        ),
    ));
    assert_eq!(
        found,
        ["Pod one", "CronJob nightly", "Job once"].map(|other| format!(
            "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), \
             spec.selector: also selects the pods of {other}"
        ))
    );
}

#[test]
fn labels_of_a_template_that_is_not_for_pods_are_not_selected() {
    let text = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: sealed}\n\
                spec: {template: {metadata: {labels: {app.kubernetes.io/name: plexd}}}}\n";
    assert_eq!(problems(with_file("sealed.yaml", text)), [""; 0]);
}

#[test]
fn a_service_can_select_the_pods_of_any_kind() {
    let service = |name: &str, port: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
             spec: {{selector: {{app.kubernetes.io/name: {name}}}, ports: [{{port: 80, targetPort: {port}}}]}}\n"
        )
    };
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: probe, labels: {app.kubernetes.io/name: probe}}\n\
               spec: {containers: [{name: probe, image: 'probe:1'}]}\n";
    let services = |port| [&service("plexd", port), &service("probe", "80"), pod].join("---\n");
    let found = |port| problems(with_file("services.yaml", services(port)));
    assert_eq!(found("health"), [] as [&str; 0]);
    assert_eq!(
        found("metrics"),
        [
            "deploy/kubernetes/services.yaml, document 1, line 1 (Service plexd), \
             spec.ports[0].targetPort: port 80 targets no port of the selected pods"
        ]
    );
}

#[test]
fn a_service_of_another_namespace_is_not_checked() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: dns, namespace: kube-system}\n\
                spec: {clusterIP: None, selector: {k8s-app: kube-dns}, ports: [{port: 9153}]}\n";
    assert_eq!(
        problems(with_file("dns.yaml", text.to_owned())),
        [] as [&str; 0]
    );
}

#[test]
fn a_service_whose_pods_a_controller_may_create_causes_only_a_notice() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: leader}\n\
                spec: {selector: {app.kubernetes.io/name: plexd, role: leader}, ports: [{port: 80}]}\n";
    let rendered = Case::new(with_file("leader.yaml", text.to_owned())).rendered();
    assert_eq!(
        rendered.notices(),
        [
            "deploy/kubernetes/leader.yaml, document 1, line 1 (Service leader), spec.selector selects no pod in the \
             manifests"
        ]
    );
}

#[test]
fn an_empty_selector_is_reported() {
    let daemon_set = DAEMON_SET.replace(
        "    matchLabels:\n      app.kubernetes.io/name: plexd\n",
        "    matchLabels: {}\n",
    );
    assert_eq!(
        problems(with_file("daemonset.yaml", daemon_set)),
        [
            "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), spec.selector: is empty"
        ]
    );
}
