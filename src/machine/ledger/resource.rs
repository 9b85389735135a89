//! The entries of a ledger. Only the provider of an entry can interpret its payload.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::replace::PROCESS;

/// Something that a run creates outside its own process, as recorded in the ledger. Provider and name identify it
/// within the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// The provider that creates the resource and reclaims it.
    pub provider: String,
    /// The name for people, such as `folder /tmp/a`.
    pub name: String,
    /// What the provider needs to know to reclaim the resource.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
}

/// What a provider records about one resource.
pub trait Payload: Serialize + DeserializeOwned {
    /// The provider's name in ledgers.
    const PROVIDER: &'static str;

    /// The resource's name for people. It is unique among the provider's resources of the run.
    fn name(&self) -> String;
}

impl Resource {
    /// A resource with this payload.
    ///
    /// # Errors
    /// If the payload has no JSON form, for example a path that isn't UTF-8.
    pub fn new<P: Payload>(payload: &P) -> serde_json::Result<Self> {
        Ok(Self {
            payload: serde_json::to_value(payload)?,
            ..Self::named(payload)
        })
    }

    /// The resource of `payload`: its provider and name, without the payload itself.
    pub(super) fn named<P: Payload>(payload: &P) -> Self {
        Self {
            provider: P::PROVIDER.to_owned(),
            name: payload.name(),
            payload: Value::Null,
        }
    }

    /// Whether `other` is the same resource, even if the payloads differ.
    pub fn is(&self, other: &Self) -> bool {
        self.provider == other.provider && self.name == other.name
    }

    /// The payload; `None` if the resource belongs to another provider.
    ///
    /// # Errors
    /// If this version can't read the payload.
    pub fn read<P: Payload>(&self) -> Option<serde_json::Result<P>> {
        (self.provider == P::PROVIDER).then(|| P::deserialize(&self.payload))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.name)
    }
}

/// The resources that a run creates on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HostResource {
    /// A folder below the run's private folder.
    Folder {
        /// Its path.
        path: PathBuf,
    },
    /// Processes, identified by the value of [`crate::machine::marked::MARK`] in their environment.
    Processes {
        /// The value.
        mark: String,
    },
    /// A listening port on loopback.
    Port {
        /// Its number.
        port: u16,
    },
}

impl Payload for HostResource {
    const PROVIDER: &'static str = "host";

    fn name(&self) -> String {
        match self {
            Self::Folder { path } => format!("folder {}", path.display()),
            Self::Processes { mark } => format!("processes of {mark}"),
            Self::Port { port } => format!("port {port}"),
        }
    }
}

/// The run that a ledger belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The token that distinguishes the run's resources from those of other runs.
    pub run: String,
    /// The run's folder, for reports.
    pub folder: PathBuf,
    /// The folders that additional copies of the reports are written to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<PathBuf>,
    /// The value that identifies this process in the names of its temporary files.
    pub process: String,
    /// When the run started.
    pub started: Timestamp,
    /// The runner's version.
    pub version: String,
}

impl Owner {
    /// A run of this process that starts now and writes its reports to `folder`.
    pub fn new(run: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            folder: folder.into(),
            copies: Vec::new(),
            process: PROCESS.clone(),
            started: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum LedgerEntry {
    /// The first line: the run that the ledger belongs to.
    Began {
        /// The run.
        owner: Owner,
    },
    /// The resource is about to be created. If it was planned before, this line adds what has become known about it.
    Planned {
        /// The resource.
        resource: Resource,
    },
    /// The resource is kept on purpose.
    Kept {
        /// The resource.
        resource: Resource,
        /// The commands to inspect it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        commands: Vec<String>,
    },
    /// A check has shown that the resource is gone.
    Gone {
        /// The resource.
        resource: Resource,
    },
}
