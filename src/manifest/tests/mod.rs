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

/// A token that no manifest contains by chance.
const TOKEN: &str = "a-token-of-the-tests";

/// Inputs for tests to modify.
struct Case {
    sources: Sources,
    daemon_set: Option<String>,
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

/// The built-in sources with other manifests for the mock.
fn with_mock(label: &str, files: BTreeMap<String, String>) -> Sources {
    Sources {
        mock: Folder::new(label, files),
        ..Sources::builtin()
    }
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
