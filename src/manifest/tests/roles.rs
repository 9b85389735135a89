//! Roles and bindings: how the agent gets a role, and which roles and `ServiceAccounts` the manifests must contain.

use super::{Case, DAEMON_SET, RBAC, edited, problems, value, with_file, with_files};

const NO_ROLE: &str = "deploy/kubernetes/daemonset.yaml, document 1, line 5 (DaemonSet plexd), \
    spec.template.spec.serviceAccountName: no binding grants a role to the ServiceAccount `plexd`, \
    and ClusterRoleBinding plexd grants its role to no pod";

/// A subject in a namespace in which the manifests have no pods.
const ELSEWHERE: &str = "{kind: ServiceAccount, name: plexd, namespace: elsewhere}";

/// The built-in roles, bound to another subject.
fn bound_to(subject: &str) -> String {
    let agent = "  - kind: ServiceAccount\n    name: plexd\n    namespace: plexd-system\n";
    edited(RBAC, agent, &format!("  - {subject}\n"))
}

#[test]
fn the_namespace_of_a_cluster_role_is_ignored() {
    let role = "kind: ClusterRole\nmetadata:\n  name: plexd\n";
    let text = edited(RBAC, role, &format!("{role}  namespace: plexd-system\n"));
    let rendered = Case::new(with_file("rbac.yaml", text)).rendered();
    let metadata = value(&rendered, "ClusterRole", "plexd", "/metadata");
    assert!(metadata.get("namespace").is_none());
}

fn problems_with(rbac: &str) -> Vec<String> {
    problems(with_file("rbac.yaml", rbac.to_owned()))
}

#[test]
fn the_agent_gets_a_role_by_its_account_or_a_group() {
    for subject in [
        "{kind: ServiceAccount, name: plexd, namespace: plexd-system}",
        "{kind: User, name: 'system:serviceaccount:plexd-e2e:plexd'}",
        "{kind: Group, name: 'system:authenticated'}",
        "{kind: Group, name: 'system:serviceaccounts'}",
        "{kind: Group, name: 'system:serviceaccounts:plexd-e2e'}",
    ] {
        assert_eq!(problems_with(&bound_to(subject)), [""; 0], "{subject}");
    }
    for subject in [
        ELSEWHERE,
        "{kind: User, name: 'system:serviceaccount:elsewhere:plexd'}",
        "{kind: Group, name: 'system:serviceaccounts:elsewhere'}",
    ] {
        assert_eq!(problems_with(&bound_to(subject)), [NO_ROLE], "{subject}");
    }
}

#[test]
fn the_agent_needs_no_role_if_each_binding_is_for_somebody_else() {
    let with_other = |rbac: &str, account: &str| {
        let other = format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: other}}\n---\n\
             apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: other}}\nspec:\n  \
             selector: {{matchLabels: {{app: other}}}}\n  template:\n    metadata: {{labels: {{app: other}}}}\n    \
             spec: {{{account}containers: [{{name: main, image: 'a:1'}}]}}\n"
        );
        problems_with(&format!("{rbac}---\n{other}"))
    };
    let others = bound_to("{kind: ServiceAccount, name: other, namespace: plexd-system}");
    assert_eq!(with_other(&others, "serviceAccountName: other, "), [""; 0]);
    assert_eq!(with_other(&others, ""), [NO_ROLE]);
    for subject in [
        "{kind: User, name: jane}",
        "{kind: ServiceAccount, name: prometheus, namespace: monitoring}",
    ] {
        assert_eq!(with_other(&bound_to(subject), ""), [""; 0], "{subject}");
    }
    assert_eq!(with_other("", ""), [""; 0]);
}

#[test]
fn a_binding_needs_its_role_unless_every_cluster_has_it() {
    let binding = |role: &str| {
        let extra = format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: more}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, {role}}}\n"
        );
        problems_with(&format!("{RBAC}{extra}"))
    };
    for role in ["system:node", "view", "plexd"] {
        assert_eq!(
            binding(&format!("kind: ClusterRole, name: '{role}'")),
            [""; 0]
        );
    }
    for role in ["kind: ClusterRole, name: reader", "kind: Role, name: view"] {
        let found = binding(role);
        assert!(found[0].contains("roleRef: refers to the "), "{found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn a_cluster_role_for_others_needs_no_binding_if_the_agent_has_a_role_or_if_it_is_aggregated() {
    let reader = |more: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: reader}}\n{more}"
        )
    };
    assert_eq!(
        problems_with(&format!("{RBAC}---\n{}", reader(""))),
        [""; 0]
    );
    assert_eq!(
        problems_with(&reader("")),
        [
            "deploy/kubernetes/rbac.yaml, document 1, line 1 (ClusterRole reader): is a role that no binding uses"
        ]
    );
    assert_eq!(problems_with(&reader("aggregationRule: {}\n")), [""; 0]);
}

#[test]
fn an_agent_without_a_service_account_has_the_default_one() {
    let line = "      serviceAccountName: plexd\n";
    let bound = bound_to("{kind: ServiceAccount, name: default, namespace: plexd-system}");
    let no_role = NO_ROLE.replace("`plexd`", "`default`");
    for account in ["", "      serviceAccountName: ''\n"] {
        let problems_with = |rbac: &str| {
            let daemon_set = edited(DAEMON_SET, line, account);
            problems(with_files([
                ("daemonset.yaml", daemon_set),
                ("rbac.yaml", rbac.to_owned()),
            ]))
        };
        assert_eq!(problems_with(&bound), [""; 0], "{account}");
        assert_eq!(problems_with(RBAC), [no_role.as_str()], "{account}");
    }
}

#[test]
fn the_deprecated_field_names_the_service_account_if_the_current_field_does_not() {
    let line = "      serviceAccountName: plexd\n";
    for fields in [
        "      serviceAccount: plexd\n",
        "      serviceAccountName: ''\n      serviceAccount: plexd\n",
        "      serviceAccountName: plexd\n      serviceAccount: ignored\n",
    ] {
        let daemon_set = DAEMON_SET.replace(line, fields);
        let rendered = Case::new(with_file("daemonset.yaml", daemon_set)).rendered();
        assert_eq!(rendered.agent().account, "plexd", "{fields}");
    }
}

#[test]
fn a_role_is_bound_only_by_a_binding_that_names_its_kind() {
    let role = "  kind: Role\n  name: plexd\n";
    let cluster_role = "  kind: ClusterRole\n  name: plexd\n";
    let found = problems_with(&edited(RBAC, role, cluster_role));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with("(Role plexd): is a role that no binding uses"),
        "{found:?}"
    );
}

#[test]
fn roles_of_other_namespaces_are_not_checked() {
    let elsewhere = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: elsewhere}\n---\n\
                     apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a, namespace: elsewhere}\n---\n\
                     apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b, namespace: elsewhere}\n\
                     roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: b}\n";
    assert_eq!(problems_with(&format!("{RBAC}{elsewhere}")), [""; 0]);
    let missing = elsewhere.replace("kind: Role, name: b", "kind: ClusterRole, name: b");
    let found = problems_with(&format!("{RBAC}{missing}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("refers to the ClusterRole `b`, which the manifests don't define"),
        "{found:?}"
    );
}

/// The binding may be in a manifest that can't be read.
#[test]
fn unbound_roles_are_not_reported_if_a_text_cannot_be_read() {
    let unbound =
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: reader}\n";
    for rbac in [unbound.to_owned(), bound_to(ELSEWHERE)] {
        let found = problems(with_files([
            ("rbac.yaml", rbac),
            ("more.yaml", "{".to_owned()),
        ]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("more.yaml"), "{found:?}");
    }
}

#[test]
fn a_cluster_role_with_a_binding_is_not_for_others() {
    let watcher = "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: watcher}\n---\n\
                   apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: watcher}\n\
                   roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: watcher}\n";
    let rendered = Case::new(with_file("rbac.yaml", format!("{RBAC}{watcher}"))).rendered();
    assert_eq!(rendered.notices(), Case::builtin().rendered().notices());
}
