//! What can be in a ledger.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that a run makes outside its own process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Resource {
    /// A kind cluster.
    KindCluster {
        /// The cluster's name.
        name: String,
        /// The mark of the processes that make it: see [`crate::machine::marked::MARK`].
        mark: String,
        /// What only the containers of this cluster carry.
        seal: String,
        /// When it was planned: a container that is older is not its.
        planned: Timestamp,
    },
    /// A container.
    Container {
        /// Its id.
        id: String,
    },
    /// A container volume.
    Volume {
        /// Its name.
        name: String,
    },
    /// Processes, by the value of [`crate::machine::marked::MARK`] in their environment.
    Processes {
        /// The value.
        mark: String,
    },
    /// A folder.
    Folder {
        /// Its path.
        path: PathBuf,
    },
    /// A listening port on loopback.
    Port {
        /// Its number.
        port: u16,
    },
    /// A container network.
    Network {
        /// Its name.
        name: String,
    },
    /// A namespace in a cluster that was there already.
    Namespace {
        /// The files of the kubeconfig that leads there.
        kubeconfig: Vec<PathBuf>,
        /// Its context.
        context: String,
        /// The namespace's name.
        name: String,
    },
    /// Something in such a cluster that is in no namespace.
    ClusterObject {
        /// The files of the kubeconfig that leads there.
        kubeconfig: Vec<PathBuf>,
        /// Its context.
        context: String,
        /// Such as `rbac.authorization.k8s.io/v1`.
        api_version: String,
        /// Such as `ClusterRole`.
        kind: String,
        /// The object's name.
        name: String,
    },
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KindCluster { name, .. } => write!(formatter, "cluster {name}"),
            Self::Container { id } => write!(formatter, "container {id:.12}"),
            Self::Volume { name } => write!(formatter, "volume {name}"),
            Self::Processes { mark } => write!(formatter, "processes of {mark}"),
            Self::Folder { path } => write!(formatter, "folder {}", path.display()),
            Self::Port { port } => write!(formatter, "port {port}"),
            Self::Network { name } => write!(formatter, "network {name}"),
            Self::Namespace { context, name, .. } => {
                write!(formatter, "namespace {name} in {context}")
            }
            Self::ClusterObject {
                context,
                kind,
                name,
                ..
            } => write!(formatter, "{kind} {name} in {context}"),
        }
    }
}

/// Whose ledger it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The few characters that tell the run's resources from every other's.
    pub run: String,
    /// The run's folder, for reports.
    pub folder: PathBuf,
    /// The folders of the reports' copies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<PathBuf>,
    /// The runner's process id.
    pub process: u32,
    /// When the run began.
    pub started: Timestamp,
    /// The runner's version.
    pub version: String,
}

impl Owner {
    /// A run of this process that begins now and writes its reports to `folder`.
    pub fn new(run: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            folder: folder.into(),
            copies: Vec::new(),
            process: std::process::id(),
            started: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum LedgerEntry {
    /// The first line: whose it is.
    Began {
        /// The run.
        owner: Owner,
    },
    /// It is about to be made.
    Planned {
        /// What.
        resource: Resource,
    },
    /// It stays on purpose.
    Kept {
        /// What.
        resource: Resource,
        /// How to look inside.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        commands: Vec<String>,
    },
    /// It was proven gone.
    Gone {
        /// What.
        resource: Resource,
    },
}
