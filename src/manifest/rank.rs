//! The order in which the kinds of a deployment are applied.

use super::Object;
use crate::matrix::named;

named! {
    /// A group of objects that are applied together. The variants are in the order of application: each object comes
    /// after its dependencies, and the agent comes last.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Rank {
        /// Namespaces.
        Namespaces = "namespaces",
        /// Custom resource definitions.
        Definitions = "CRDs",
        /// Service accounts.
        Accounts = "service accounts",
        /// Roles, cluster roles and their bindings.
        Rbac = "RBAC",
        /// Secrets.
        Secrets = "Secrets",
        /// `ConfigMaps`.
        ConfigMaps = "ConfigMaps",
        /// Services.
        Services = "Services",
        /// All other objects, with the mock's Deployment at the end.
        Others = "other objects",
        /// The agent's `DaemonSet`.
        Agent = "agent",
    }
}

impl Rank {
    /// The rank of an object other than the agent's `DaemonSet`.
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

    /// The name of the file with its rendered objects, for example `04-rbac.yaml`.
    pub fn file_name(self) -> String {
        let name = self.name().to_lowercase().replace(' ', "-");
        format!("{:02}-{name}.yaml", self as u8 + 1)
    }
}
