//! Bindings: the role is there, and the accounts of the cell's namespace are.

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};

use super::{Deployed, Findings};

/// Cluster roles that every cluster comes with, beside those that begin with `system:`.
const BUILT_IN_ROLES: [&str; 4] = ["admin", "cluster-admin", "edit", "view"];

pub(super) fn binding(findings: &mut Findings<'_>, deployed: &Deployed<'_>) {
    let parts: Option<(RoleRef, Option<Vec<Subject>>)> = if findings.object.kind == "RoleBinding" {
        let typed = findings.decode::<RoleBinding>();
        typed.map(|binding| (binding.role_ref, binding.subjects))
    } else {
        let typed = findings.decode::<ClusterRoleBinding>();
        typed.map(|binding| (binding.role_ref, binding.subjects))
    };
    let Some((role, subjects)) = parts else {
        return;
    };
    examine_role(findings, deployed, &role);
    for (index, subject) in subjects.iter().flatten().enumerate() {
        examine_subject(findings, deployed, &format!("subjects[{index}]"), subject);
    }
}

fn examine_role(findings: &mut Findings<'_>, deployed: &Deployed<'_>, role: &RoleRef) {
    let is_built_in = role.kind == "ClusterRole"
        && (role.name.starts_with("system:") || BUILT_IN_ROLES.contains(&role.name.as_str()));
    if !is_built_in && !deployed.has(&role.kind, &role.name) {
        findings.add(
            "roleRef",
            format!(
                "names the {} `{}`, which is not deployed",
                role.kind, role.name
            ),
            "name a role of rbac.yaml, or add it there",
        );
    }
}

fn examine_subject(
    findings: &mut Findings<'_>,
    deployed: &Deployed<'_>,
    field: &str,
    subject: &Subject,
) {
    let is_here = subject.kind == "ServiceAccount"
        && subject.namespace.as_deref() == Some(deployed.namespace);
    if is_here && subject.name != "default" && !deployed.has("ServiceAccount", &subject.name) {
        findings.add(
            field,
            format!(
                "names the account `{}`, which is not deployed",
                subject.name
            ),
            "name an account of serviceaccount.yaml, or add it there",
        );
    }
}
