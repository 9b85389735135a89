//! The sources of a deployment. The default ones are built in; the caller reads all others.

use std::collections::BTreeMap;

/// The sources of a deployment, as text: manifests, and the base of the agent's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The agent's manifests.
    pub manifests: Folder,
    /// The mock's manifests.
    pub mock: Folder,
    /// The base of the agent's configuration: the name and the content of the file.
    pub agent_config: (String, String),
}

/// A folder of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The name of the folder. All places in messages start with it.
    pub(super) label: String,
    /// The content of each file, by its path in the folder. The separator is `/`.
    pub(super) files: BTreeMap<String, String>,
}

impl Folder {
    /// A folder called `label`. `files` has the content of each file by its path, such as `crds/plexdhook-crd.yaml`.
    /// Content that isn't from a file has an empty path.
    pub fn new(label: impl Into<String>, files: BTreeMap<String, String>) -> Self {
        Self {
            label: label.into(),
            files,
        }
    }

    /// The name of the file `name` for messages, including the folder.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.label.is_empty() {
            name.to_owned()
        } else if name.is_empty() {
            self.label.clone()
        } else {
            format!("{}/{name}", self.label)
        }
    }
}

/// Whether a file with this name may contain manifests, according to its extension.
pub fn is_manifest_name(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    matches!(ending, Some("yaml" | "yml" | "json"))
}

/// The built-in files of one folder in `deploy/`.
macro_rules! built_in {
    ($label:literal: $($name:literal),+ $(,)?) => {
        Folder::new($label, BTreeMap::from([$((
            $name.to_owned(),
            include_str!(concat!("../../", $label, "/", $name)).to_owned(),
        )),+]))
    };
}

impl Sources {
    /// The built-in sources.
    pub fn builtin() -> Self {
        Self {
            manifests: built_in!("deploy/kubernetes":
                "crds/plexdhook-crd.yaml",
                "crds/plexdnodestate-crd.yaml",
                "daemonset.yaml",
                "plexd-config-configmap.yaml",
                "rbac.yaml",
                "secret.yaml",
                "serviceaccount.yaml",
            ),
            mock: built_in!("deploy/mock-api": "mock-api.yaml"),
            agent_config: (
                "deploy/agent-config.yaml".to_owned(),
                include_str!("../../deploy/agent-config.yaml").to_owned(),
            ),
        }
    }
}
