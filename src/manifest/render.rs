//! Renders a deployment for one cell: reads all sources, applies the run's changes, checks the result, and orders the
//! objects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::agent_pod::AgentPod;
use super::check::{self, Deployed};
use super::config::Placeholders;
use super::config_map::{self, ConfigPlace};
use super::{
    Agent, Folder, ManifestProblem, ManifestProblems, Mock, Object, Rank, Rendered, Sources,
    Tenancy, document, items, locate, mask, names, only, patch, shared, supply,
};
use crate::matrix::named;
use crate::secret::{Mask, Secret};

/// Everything that determines a cell's objects.
pub struct Inputs<'a> {
    /// The manifests and the base of the agent's configuration.
    pub sources: &'a Sources,
    /// The name of the agent's `DaemonSet`, if the user sets it.
    pub daemon_set: Option<&'a str>,
    /// The key of the agent's configuration in its ConfigMap, if the user sets it.
    pub config_key: Option<&'a str>,
    /// The cell's namespace.
    pub namespace: &'a str,
    /// The number of nodes of the cell.
    pub nodes: usize,
    /// The image for the agent's container.
    pub agent_image: &'a str,
    /// The image for the mock's container.
    pub mock_image: &'a str,
    /// When nodes pull these images.
    pub pull_policy: PullPolicy,
    /// The variant's agent configuration, to be merged over the base.
    pub agent_config: &'a Map<String, Value>,
    /// The variant's environment for the agent's container.
    pub env: &'a BTreeMap<String, String>,
    /// The token that agents register with.
    pub bootstrap_token: &'a Secret,
    /// Whether the DaemonSet keeps its probes.
    pub probes: bool,
    /// The settings that isolate the cell from others in the same cluster; `None` if it has its own cluster.
    pub shared: Option<&'a Tenancy>,
}

named! {
    /// When a node pulls an image.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum PullPolicy {
        /// Never. If the image isn't on the node, the pod fails.
        Never = "Never",
        /// If the image isn't on the node.
        IfNotPresent = "IfNotPresent",
    }
}

/// Renders a deployment.
///
/// # Errors
/// Returns all problems in the sources and in the relations between objects.
pub fn render(inputs: &Inputs<'_>) -> Result<Rendered, ManifestProblems> {
    let mut problems = Vec::new();
    let mut objects = Objects::read(inputs, &mut problems);
    if let Some(problem) = objects.too_many() {
        problems.push(problem);
        return Err(ManifestProblems(problems));
    }
    let placeholders = Placeholders::new(inputs, objects.mock_service());
    let agent_config = placeholders.agent_config(inputs, &mut problems);
    let env = placeholders.env(inputs, &mut problems);
    objects.set_scopes();
    objects.move_into_namespace(inputs.namespace);
    let mut notices = Vec::new();
    let config_place = objects.supply(inputs, &agent_config, &mut notices, &mut problems);
    if let Some(shared) = inputs.shared {
        let mut all: Vec<&mut Object> = objects.all_mut().collect();
        problems.extend(shared::isolate(&mut all, inputs.namespace, shared));
        notices.extend(shared::notices(objects.all(), shared));
    }
    let agent = objects.patch_agent(inputs, &env, &mut problems);
    let mock = objects.patch_mock(inputs, &mut problems);
    let deployed = Deployed {
        namespace: inputs.namespace,
        agent: objects.agent.as_ref(),
        objects: objects.all().collect(),
        agent_config: &agent_config,
        config_place: config_place.as_ref(),
        mock_service: objects.mock_service(),
        is_complete: problems.is_empty(),
    };
    let found = check::all(&deployed);
    problems.extend(found);
    notices.extend(check::notices(&deployed));
    match (agent, mock) {
        (Some(agent), Some(mock)) if problems.is_empty() => Ok(Rendered {
            namespace: inputs.namespace.to_owned(),
            steps: objects.into_steps(),
            agent,
            mock,
            agent_config,
            notices,
            token: inputs.bootstrap_token.clone(),
        }),
        _ => {
            let mask = Mask::new(mask::secrets(objects.all(), &agent_config));
            Err(ManifestProblems(problems).masked(&mask))
        }
    }
}

/// The objects of a deployment during rendering.
struct Objects {
    /// The agent's `DaemonSet`, if it was found.
    agent: Option<Object>,
    /// All other objects of the agent's folder.
    others: Vec<Object>,
    /// The mock's objects.
    mock: Vec<Object>,
}

impl Objects {
    fn read(inputs: &Inputs<'_>, problems: &mut Vec<ManifestProblem>) -> Self {
        let folder = &inputs.sources.manifests;
        let mut others = read(folder, problems);
        let mock = read(&inputs.sources.mock, problems);
        // A manifest that can't be read may contain the agent.
        let is_complete = problems.is_empty();
        let agent = match locate::agent(&others, inputs.daemon_set, folder) {
            Ok(index) => Some(others.remove(index)),
            Err(problem) => {
                problems.extend(is_complete.then_some(problem));
                None
            }
        };
        Self {
            agent,
            others,
            mock,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Object> {
        self.agent.iter().chain(&self.others).chain(&self.mock)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Object> {
        let others = self.others.iter_mut().chain(&mut self.mock);
        others.chain(&mut self.agent)
    }

    fn too_many(&self) -> Option<ManifestProblem> {
        let first = self.all().nth(check::MAX_OBJECTS)?;
        let message = format!(
            "is one object too many: a deployment may have at most {}",
            check::MAX_OBJECTS
        );
        let place = first.place("");
        Some(ManifestProblem::new(place, message, "deploy fewer objects"))
    }

    /// The name of the mock's only Service, or else the default name. If that Service doesn't exist, patching the mock
    /// reports it.
    fn mock_service(&self) -> &str {
        let services = self.mock.iter().filter(|object| object.kind == "Service");
        only(services).map_or(names::MOCK, |service| &service.name)
    }

    /// The namespace that the manifests were written for: the agent's own, or else the only one in which bindings
    /// expect its ServiceAccount, or else the only one that the manifests define, or else the one that charts are
    /// rendered for.
    fn home(&self) -> String {
        let defined = self.others.iter().filter(|it| it.kind == "Namespace");
        let agent = self.agent.as_ref();
        let own = agent.and_then(|agent| agent.namespace.as_deref());
        own.or_else(|| self.expected_namespace())
            .or_else(|| only(defined).map(|namespace| namespace.name.as_str()))
            .unwrap_or(names::NAMESPACE)
            .to_owned()
    }

    /// The only namespace in which bindings expect the agent's ServiceAccount. The account `default` of a namespace of
    /// Kubernetes isn't the agent's.
    fn expected_namespace(&self) -> Option<&str> {
        let account = check::account(self.agent.as_ref()?)?;
        let subjects = self.others.iter().map(|object| &object.value["subjects"]);
        let accounts = subjects
            .flat_map(items)
            .filter(|subject| subject["kind"] == "ServiceAccount" && subject["name"] == account);
        let namespaces: BTreeSet<&str> = accounts
            .filter_map(|subject| subject["namespace"].as_str())
            .filter(|namespace| account != "default" || !namespace.starts_with("kube-"))
            .collect();
        only(namespaces.into_iter())
    }

    /// Makes custom resources cluster-scoped if their definitions say so.
    fn set_scopes(&mut self) {
        let definitions = self.all();
        let cluster_scoped = definitions
            .filter_map(Object::defined_cluster_scoped)
            .collect();
        self.all_mut()
            .for_each(|object| object.set_scope(&cluster_scoped));
    }

    /// Moves the mock, and the objects in the agent's namespace or without one, to the cell's namespace. Objects in
    /// other namespaces stay there.
    fn move_into_namespace(&mut self, namespace: &str) {
        let home = self.home();
        supply::namespace(&mut self.others, &home, namespace);
        let is_home = |current: Option<&str>| current.is_none_or(|current| current == home);
        for object in self.others.iter_mut().chain(&mut self.agent) {
            if is_home(object.namespace.as_deref()) {
                patch::set_namespace(object, namespace);
            }
            patch::set_references(object, namespace, is_home);
        }
        for object in &mut self.mock {
            patch::set_namespace(object, namespace);
            patch::set_references(object, namespace, |_| true);
        }
    }

    /// Applies the run's settings, and adds missing objects. Returns the location of the agent's configuration.
    fn supply(
        &mut self,
        inputs: &Inputs<'_>,
        agent_config: &Value,
        notices: &mut Vec<String>,
        problems: &mut Vec<ManifestProblem>,
    ) -> Option<ConfigPlace> {
        let pod = self.agent.as_ref().and_then(AgentPod::of);
        let (objects, namespace) = (&mut self.others, inputs.namespace);
        let token = inputs.bootstrap_token;
        supply::definitions(objects, notices);
        let secret = supply::bootstrap_secret(objects, pod.as_ref(), namespace, token);
        notices.extend(secret);
        let text = serde_saphyr::to_string(agent_config)
            .unwrap_or_else(|_| unreachable!("every JSON value can be written as YAML"));
        config_map::supply(objects, &pod?, inputs, &text, notices, problems)
    }

    fn patch_agent(
        &mut self,
        inputs: &Inputs<'_>,
        env: &BTreeMap<String, String>,
        problems: &mut Vec<ManifestProblem>,
    ) -> Option<Agent> {
        let object = self.agent.as_mut()?;
        let (index, container) = ok_or_report(locate::container(object, names::AGENT), problems)?;
        patch::set_image(object, index, inputs.agent_image, inputs.pull_policy);
        patch::set_env(object, index, env);
        if !inputs.probes {
            patch::remove_probes(object);
        }
        Some(Agent {
            daemon_set: object.decode().ok()?,
            container,
            account: check::account(object)?.to_owned(),
        })
    }

    fn patch_mock(
        &mut self,
        inputs: &Inputs<'_>,
        problems: &mut Vec<ManifestProblem>,
    ) -> Option<Mock> {
        let folder = &inputs.sources.mock;
        let mut find = |kind| {
            let found = locate::object(&self.mock, kind, names::MOCK, folder);
            ok_or_report(found, problems)
        };
        let (service, deployment) = (find("Service"), find("Deployment"));
        let service = self.mock[service?].decode().ok()?;
        let object = &mut self.mock[deployment?];
        let (index, container) = ok_or_report(locate::container(object, names::MOCK), problems)?;
        patch::set_image(object, index, inputs.mock_image, inputs.pull_policy);
        Some(Mock {
            deployment: object.decode().ok()?,
            service,
            container,
            account: check::account(object)?.to_owned(),
        })
    }

    fn into_steps(self) -> BTreeMap<Rank, Vec<Object>> {
        let mut steps: BTreeMap<Rank, Vec<Object>> = BTreeMap::new();
        for object in self.others.into_iter().chain(self.mock) {
            steps.entry(Rank::of(&object)).or_default().push(object);
        }
        steps.insert(Rank::Agent, self.agent.into_iter().collect());
        steps
    }
}

/// All objects of a folder, sorted by file name. Reports parts that can't be read.
fn read(folder: &Folder, problems: &mut Vec<ManifestProblem>) -> Vec<Object> {
    let files = folder.files.iter();
    let objects = files.map(|(name, text)| document::read(&folder.path_of(name), text, problems));
    objects.flatten().collect()
}

/// The value, or `None` after reporting the problem.
fn ok_or_report<T>(
    result: Result<T, ManifestProblem>,
    problems: &mut Vec<ManifestProblem>,
) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}
