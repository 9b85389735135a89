//! Rendered objects, the fields that patches preserve, and the problems in broken manifests.

mod agent;
mod broken;
mod config;
mod foreign;
mod fuzz;
mod golden;
mod labels;
mod patches;
mod references;
mod rejected;
mod roles;
mod shared;
mod supply;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Folder, Inputs, ManifestProblem, PullPolicy, Rendered, Sources, Tenancy, render};
use crate::secret::{Mask, Secret};

const DAEMON_SET: &str = include_str!("../../../deploy/kubernetes/daemonset.yaml");
const RBAC: &str = include_str!("../../../deploy/kubernetes/rbac.yaml");
const MOCK: &str = include_str!("../../../deploy/mock-api/mock-api.yaml");

/// A token that no manifest contains by chance.
const TOKEN: &str = "a-token-of-the-tests";

/// Inputs for tests to modify.
struct Case {
    sources: Sources,
    daemon_set: Option<String>,
    config_key: Option<&'static str>,
    namespace: &'static str,
    agent_config: Map<String, Value>,
    env: BTreeMap<String, String>,
    probes: bool,
    token: Secret,
    shared: Option<Tenancy>,
}

impl Case {
    fn new(sources: Sources) -> Self {
        Self {
            sources,
            daemon_set: None,
            config_key: None,
            namespace: "plexd-e2e",
            agent_config: Map::new(),
            env: BTreeMap::new(),
            probes: true,
            token: Secret::new(TOKEN.to_owned()),
            shared: None,
        }
    }

    fn builtin() -> Self {
        Self::new(Sources::builtin())
    }

    fn with_config(mut self, config: Value) -> Self {
        if let Value::Object(config) = config {
            self.agent_config = config;
        }
        self
    }

    fn render(&self) -> Result<Rendered, Vec<ManifestProblem>> {
        let inputs = Inputs {
            sources: &self.sources,
            daemon_set: self.daemon_set.as_deref(),
            config_key: self.config_key,
            namespace: self.namespace,
            nodes: 1,
            agent_image: "plexd:0123abcd",
            mock_image: "mockapi:4567cdef",
            pull_policy: PullPolicy::Never,
            agent_config: &self.agent_config,
            env: &self.env,
            bootstrap_token: &self.token,
            probes: self.probes,
            shared: self.shared.as_ref(),
        };
        render(&inputs).map_err(|problems| problems.0)
    }

    fn rendered(&self) -> Rendered {
        self.render()
            .unwrap_or_else(|problems| panic!("{problems:#?}"))
    }
}

/// The built-in sources with other manifests for the agent.
fn with_manifests(label: &str, files: BTreeMap<String, String>) -> Sources {
    Sources {
        manifests: Folder::new(label, files),
        ..Sources::builtin()
    }
}

/// The built-in manifests with one file replaced.
fn with_file(name: &str, text: impl Into<String>) -> Sources {
    with_files([(name, text.into())])
}

/// The built-in manifests with some files replaced.
fn with_files<'n>(more: impl IntoIterator<Item = (&'n str, String)>) -> Sources {
    let mut files = Sources::builtin().manifests.files;
    files.extend(more.into_iter().map(|(name, text)| (name.to_owned(), text)));
    with_manifests("deploy/kubernetes", files)
}

/// The built-in sources with another manifest for the mock.
fn with_mock(text: String) -> Sources {
    Sources {
        mock: Folder::new("mock", [("mock.yaml".to_owned(), text)].into()),
        ..Sources::builtin()
    }
}

/// `text` with `to` in place of `from`, which has to be in the text.
fn edited(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in the text");
    text.replace(from, to)
}

/// The messages of the problems.
fn messages(problems: &[ManifestProblem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// The messages of the problems in `sources`; none if they can be rendered.
fn problems(sources: Sources) -> Vec<String> {
    messages(&Case::new(sources).render().err().unwrap_or_default())
}

/// All masked files.
fn files(rendered: &Rendered) -> Vec<(String, String)> {
    rendered.masked_yaml(&Mask::new(rendered.secrets()))
}

fn value<'r>(rendered: &'r Rendered, kind: &str, name: &str, pointer: &str) -> &'r Value {
    let object = rendered.object(kind, name).unwrap();
    object.value.pointer(pointer).unwrap_or(&Value::Null)
}
