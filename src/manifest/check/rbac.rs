//! Checks roles and bindings: the role and the `ServiceAccounts` of each binding must exist, and the agent's
//! ServiceAccount must get its roles.

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};

use super::{Deployed, Findings, account};
use crate::manifest::{ManifestProblem, Object};

/// Cluster roles that exist in every cluster, in addition to those whose names start with `system:`.
const BUILT_IN_ROLES: [&str; 4] = ["admin", "cluster-admin", "edit", "view"];

pub(super) fn binding(findings: &mut Findings<'_>) {
    let Some(binding) = findings.ok_or_report(Binding::read) else {
        return;
    };
    check_role(findings, &binding.role);
    for (index, subject) in binding.subjects.iter().enumerate() {
        let is_here = subject.namespace.as_deref() == Some(findings.deployed.namespace);
        if is_here && subject.kind == "ServiceAccount" {
            findings.service_account(&format!("subjects[{index}]"), &subject.name);
        }
    }
}

/// Reports a role without a binding, unless the manifests offer the role to others: see [`Deployed::offered_roles`].
pub(super) fn role(findings: &mut Findings<'_>) {
    let (object, deployed) = (findings.object, findings.deployed);
    if !findings.is_elsewhere()
        && deployed.is_complete
        && !deployed.is_bound(object)
        && !deployed.is_offered(object)
    {
        findings.add(
            "",
            "is a role that no binding uses",
            "bind it to the agent's ServiceAccount, or remove it",
        );
    }
}

/// Reports that the agent has no role if a binding grants its role to nobody, because that role may be meant for the
/// agent. Otherwise, the agent needs none.
pub(super) fn agent(findings: &mut Findings<'_>) {
    let deployed = findings.deployed;
    let is_agent = deployed.agent == Some(findings.object);
    if !deployed.is_complete || !is_agent || deployed.agent_has_role() {
        return;
    }
    let unused = deployed.bindings().find(|it| !deployed.is_used(it));
    if let (Some(account), Some(binding)) = (deployed.agent_account(), unused) {
        findings.add(
            "spec.template.spec.serviceAccountName",
            format!(
                "no binding grants a role to the ServiceAccount `{account}`, and {} grants its role to no pod",
                binding.title
            ),
            "add the ServiceAccount to the binding's subjects, use one that it already names, or remove the binding",
        );
    }
}

/// A role binding or cluster role binding.
struct Binding {
    title: String,
    role: RoleRef,
    subjects: Vec<Subject>,
}

impl Binding {
    fn read(object: &Object) -> Result<Self, ManifestProblem> {
        let (role, subjects) = if object.kind == "RoleBinding" {
            let typed: RoleBinding = object.decode()?;
            (typed.role_ref, typed.subjects)
        } else {
            let typed: ClusterRoleBinding = object.decode()?;
            (typed.role_ref, typed.subjects)
        };
        let subjects = subjects.unwrap_or_default();
        Ok(Self {
            title: object.title(),
            role,
            subjects,
        })
    }

    fn names(&self, role: &Object) -> bool {
        self.role.kind == role.kind && self.role.name == role.name
    }

    /// Whether the binding grants its role to the ServiceAccount, by name or through a group.
    fn reaches(&self, account: &str, namespace: &str) -> bool {
        let mut subjects = self.subjects.iter();
        subjects.any(|subject| match subject.kind.as_str() {
            "ServiceAccount" => {
                subject.name == account && subject.namespace.as_deref() == Some(namespace)
            }
            "User" => subject.name == format!("system:serviceaccount:{namespace}:{account}"),
            "Group" => {
                subject.name == "system:authenticated"
                    || subject.name == "system:serviceaccounts"
                    || subject.name == format!("system:serviceaccounts:{namespace}")
            }
            _ => false,
        })
    }
}

impl Deployed<'_> {
    /// The cluster roles that the manifests offer to others: no binding uses them, and the agent's ServiceAccount has
    /// other roles.
    pub(super) fn offered_roles(&self) -> impl Iterator<Item = &Object> {
        let objects = self.objects.iter().copied();
        objects.filter(|object| !self.is_bound(object) && self.is_offered(object))
    }

    fn is_offered(&self, role: &Object) -> bool {
        let is_the_agents = self.agent_account().is_some_and(|account| {
            role.name == account || role.name == format!("{account}-{}", self.namespace)
        });
        let is_aggregated = role.value.get("aggregationRule").is_some();
        role.kind == "ClusterRole" && (is_aggregated || !is_the_agents && self.agent_has_role())
    }

    fn bindings(&self) -> impl Iterator<Item = Binding> {
        let objects = self.objects.iter();
        objects
            .filter(|object| matches!(object.kind.as_str(), "RoleBinding" | "ClusterRoleBinding"))
            .filter_map(|object| Binding::read(object).ok())
    }

    /// Whether the binding grants its role to a ServiceAccount of a pod, or to others.
    fn is_used(&self, binding: &Binding) -> bool {
        let mut subjects = binding.subjects.iter();
        let mut objects = self.objects.iter();
        subjects.any(|subject| self.is_other(subject))
            || objects.any(|object| {
                let namespace = object.namespace.as_deref().unwrap_or_default();
                account(object).is_some_and(|account| binding.reaches(account, namespace))
            })
    }

    /// Whether the subject is a user or group other than those of `ServiceAccounts`, or the ServiceAccount of something
    /// in another namespace, such as a monitoring system. Every namespace has an account `default`.
    fn is_other(&self, subject: &Subject) -> bool {
        if subject.kind != "ServiceAccount" {
            return !subject.name.starts_with("system:serviceaccount");
        }
        let is_here = subject.namespace.as_deref() == Some(self.namespace);
        let name = subject.name.as_str();
        !is_here && (name == "default" || self.agent_account() != Some(name))
    }

    fn is_bound(&self, role: &Object) -> bool {
        self.bindings().any(|binding| binding.names(role))
    }

    fn agent_has_role(&self) -> bool {
        let account = self.agent_account();
        account.is_some_and(|account| {
            let mut bindings = self.bindings();
            bindings.any(|binding| binding.reaches(account, self.namespace))
        })
    }

    fn agent_account(&self) -> Option<&str> {
        account(self.agent?)
    }
}

fn check_role(findings: &mut Findings<'_>, role: &RoleRef) {
    let (kind, name) = (&role.kind, &role.name);
    let is_built_in = kind == "ClusterRole"
        && (name.starts_with("system:") || BUILT_IN_ROLES.contains(&name.as_str()));
    let is_elsewhere = kind == "Role" && findings.is_elsewhere();
    if !is_built_in && !is_elsewhere && !findings.deployed.has(kind, name) {
        findings.add(
            "roleRef",
            format!("refers to the {kind} `{name}`, which the manifests don't define"),
            "refer to an object that the manifests define, or add the missing one",
        );
    }
}
