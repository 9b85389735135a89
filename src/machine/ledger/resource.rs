//! What can be in a ledger. What an entry's payload means, only its provider knows.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::replace::PROCESS;

/// Something that a run makes outside its own process, as its ledger has it. Provider and name tell it from the run's others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Who made it, and reclaims it.
    pub provider: String,
    /// What people call it, such as `folder /tmp/a`.
    pub name: String,
    /// What its provider has to know to reclaim it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
}

/// What a provider writes into a ledger of one resource.
pub trait Payload: Serialize + DeserializeOwned {
    /// The provider, as ledgers name it.
    const PROVIDER: &'static str;

    /// What people call the resource. No other resource of the run and the provider has this name.
    fn name(&self) -> String;
}

impl Resource {
    /// The resource of `payload`.
    ///
    /// # Errors
    /// If the payload has no JSON form, for example a path that isn't UTF-8.
    pub fn new<P: Payload>(payload: &P) -> serde_json::Result<Self> {
        Ok(Self {
            payload: serde_json::to_value(payload)?,
            ..Self::named(payload)
        })
    }

    /// The resource of `payload`, without what its provider has to know.
    pub(super) fn named<P: Payload>(payload: &P) -> Self {
        Self {
            provider: P::PROVIDER.to_owned(),
            name: payload.name(),
            payload: Value::Null,
        }
    }

    /// Whether `other` is the same resource, whatever is known of it.
    pub fn is(&self, other: &Self) -> bool {
        self.provider == other.provider && self.name == other.name
    }

    /// The payload; none if the resource is another provider's.
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

/// What a run makes on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HostResource {
    /// A folder below the run's own.
    Folder {
        /// Its path.
        path: PathBuf,
    },
    /// Processes, by the value of [`crate::machine::marked::MARK`] in their environment.
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
    /// What the names of the runner's temporary files have in common, and no other process's.
    pub process: String,
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
    /// The first line: whose it is.
    Began {
        /// The run.
        owner: Owner,
    },
    /// It is about to be made; or, if it was planned before, more is known of it.
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
