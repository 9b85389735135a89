//! The order in which the kinds of a deployment are applied.

use std::fmt;

use super::Object;

/// A group of objects that are applied together. The variants are in the order of application: an object's dependencies
/// come before it, and the agent comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Namespaces.
    Namespaces,
    /// Custom resource definitions.
    Definitions,
    /// Service accounts.
    Accounts,
    /// Roles, cluster roles and their bindings.
    Rbac,
    /// Secrets.
    Secrets,
    /// `ConfigMaps`.
    ConfigMaps,
    /// Services.
    Services,
    /// All other objects, with the mock's Deployment at the end.
    Others,
    /// The agent's `DaemonSet`.
    Agent,
}

impl Rank {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Namespaces,
        Self::Definitions,
        Self::Accounts,
        Self::Rbac,
        Self::Secrets,
        Self::ConfigMaps,
        Self::Services,
        Self::Others,
        Self::Agent,
    ];

    /// The rank of an object, unless it is the agent's `DaemonSet`.
    pub(super) fn of(object: &Object) -> Self {
        match object.kind.as_str() {
            "Namespace" => Self::Namespaces,
            "CustomResourceDefinition" => Self::Definitions,
            "ServiceAccount" => Self::Accounts,
            "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => Self::Rbac,
            "Secret" => Self::Secrets,
            "ConfigMap" => Self::ConfigMaps,
            "Service" => Self::Services,
            _ => Self::Others,
        }
    }

    /// The name for messages.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Definitions => "CRDs",
            Self::Accounts => "service accounts",
            Self::Rbac => "RBAC",
            Self::Secrets => "Secrets",
            Self::ConfigMaps => "ConfigMaps",
            Self::Services => "Services",
            Self::Others => "other objects",
            Self::Agent => "agent",
        }
    }

    /// The name of the file in which its rendered objects are kept, for example `04-rbac.yaml`.
    pub fn kept_as(self) -> String {
        let name = self.title().to_lowercase().replace(' ', "-");
        format!("{:02}-{name}.yaml", self as u8 + 1)
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.title())
    }
}
