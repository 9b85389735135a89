//! The parts of a deployment, in the order in which they are applied.

use std::fmt;

/// A part of a deployment. The order of the variants is the order of application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The cell's namespace.
    Namespace,
    /// The `PlexdNodeState` CRD.
    NodeStateCrd,
    /// The `PlexdHook` CRD.
    HookCrd,
    /// The agent's account.
    ServiceAccount,
    /// What the account may do.
    Rbac,
    /// The bootstrap token.
    BootstrapSecret,
    /// The agent's configuration.
    ConfigMap,
    /// The mock's Deployment and Service.
    MockApi,
    /// The agent.
    DaemonSet,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Namespace,
        Self::NodeStateCrd,
        Self::HookCrd,
        Self::ServiceAccount,
        Self::Rbac,
        Self::BootstrapSecret,
        Self::ConfigMap,
        Self::MockApi,
        Self::DaemonSet,
    ];

    /// Its place in the order, from 1.
    pub const fn order(self) -> u8 {
        self as u8 + 1
    }

    /// What it is called in messages.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::NodeStateCrd => "PlexdNodeState CRD",
            Self::HookCrd => "PlexdHook CRD",
            Self::ServiceAccount => "ServiceAccount",
            Self::Rbac => "RBAC",
            Self::BootstrapSecret => "bootstrap Secret",
            Self::ConfigMap => "ConfigMap",
            Self::MockApi => "mock-api",
            Self::DaemonSet => "DaemonSet",
        }
    }

    /// The file of `deploy/kubernetes` that says it; none where a run makes it or the mock's folder says it.
    pub(super) const fn file(self) -> Option<&'static str> {
        match self {
            Self::Namespace => Some("namespace.yaml"),
            Self::NodeStateCrd => Some("crds/plexdnodestate-crd.yaml"),
            Self::HookCrd => Some("crds/plexdhook-crd.yaml"),
            Self::ServiceAccount => Some("serviceaccount.yaml"),
            Self::Rbac => Some("rbac.yaml"),
            Self::DaemonSet => Some("daemonset.yaml"),
            Self::BootstrapSecret | Self::ConfigMap | Self::MockApi => None,
        }
    }

    /// The name under which the rendered part is kept, such as `05-rbac.yaml`.
    pub fn kept_as(self) -> String {
        let name = match self {
            Self::Namespace => "namespace",
            Self::NodeStateCrd => "plexdnodestate-crd",
            Self::HookCrd => "plexdhook-crd",
            Self::ServiceAccount => "serviceaccount",
            Self::Rbac => "rbac",
            Self::BootstrapSecret => "plexd-bootstrap-secret",
            Self::ConfigMap => "plexd-config-configmap",
            Self::MockApi => "mock-api",
            Self::DaemonSet => "daemonset",
        };
        format!("{:02}-{name}.yaml", self.order())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.title())
    }
}
