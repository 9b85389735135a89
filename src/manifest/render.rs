//! Renders a deployment for one cell: every text read, every patch made, everything checked, in the order of parts.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::check::{self, Deployed};
use super::{
    Agent, ManifestProblem, ManifestProblems, Mock, Object, Part, Place, Rendered, Shared, Sources,
    Step, base_agent_config, document, locate, merge, names,
};
use super::{mask, patch, shared};
use crate::secret::{Mask, Secret};

/// Everything that a cell's objects depend on.
pub struct Inputs<'a> {
    /// The texts.
    pub sources: &'a Sources,
    /// The cell's namespace.
    pub namespace: &'a str,
    /// The image that the agent's container gets.
    pub agent_image: &'a str,
    /// The image that the mock's container gets.
    pub mock_image: &'a str,
    /// When nodes pull the two.
    pub pull_policy: PullPolicy,
    /// The variant's agent configuration, merged over the base.
    pub agent_config: &'a Map<String, Value>,
    /// The variant's environment of the agent's container.
    pub env: &'a BTreeMap<String, String>,
    /// The token that agents register with.
    pub bootstrap_token: &'a Secret,
    /// Whether the DaemonSet keeps its probes.
    pub probes: bool,
    /// What keeps the cell apart, where others use the cluster too.
    pub shared: Option<&'a Shared>,
}

/// When a node pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// It is on the node, or the pod fails.
    Never,
    /// Where it is not on the node.
    IfNotPresent,
}

impl PullPolicy {
    /// The word that Kubernetes has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "Never",
            Self::IfNotPresent => "IfNotPresent",
        }
    }
}

/// Renders a deployment, or says everything that is wrong with it.
pub fn render(inputs: &Inputs<'_>) -> Result<Rendered, ManifestProblems> {
    let mut problems = Vec::new();
    let agent_config = merge(base_agent_config(inputs.namespace), inputs.agent_config);
    let mut steps = read_steps(inputs, &agent_config, &mut problems);
    if let Some(problem) = too_many(&steps) {
        problems.push(problem);
        return Err(ManifestProblems(problems));
    }
    move_into_namespace(&mut steps, inputs.namespace);
    if let Some(shared) = inputs.shared {
        problems.extend(shared::set_apart(&mut steps, inputs.namespace, shared));
    }
    let agent = patch_agent(&mut steps, inputs, &mut problems);
    let mock = patch_mock(&mut steps, inputs, &mut problems);
    let deployed = Deployed {
        namespace: inputs.namespace,
        agent: agent.as_ref().and_then(Agent::name),
        objects: steps.iter().flat_map(|step| &step.objects).collect(),
        agent_config: &agent_config,
        is_complete: problems.is_empty(),
    };
    let found = check::all(&deployed);
    problems.extend(found);
    let mut notices = notices(inputs.sources);
    notices.extend(deployed.offered_roles().map(offered));
    match (agent, mock) {
        (Some(agent), Some(mock)) if problems.is_empty() => Ok(Rendered {
            namespace: inputs.namespace.to_owned(),
            steps,
            agent,
            mock,
            agent_config,
            notices,
            token: inputs.bootstrap_token.clone(),
        }),
        _ => {
            let objects = steps.iter().flat_map(|step| &step.objects);
            let mask = Mask::new(mask::secrets(objects, &agent_config));
            Err(ManifestProblems(problems).masked(&mask))
        }
    }
}

fn too_many(steps: &[Step]) -> Option<ManifestProblem> {
    let mut objects = steps.iter().flat_map(|step| &step.objects);
    let first = objects.nth(check::MAX_OBJECTS)?;
    Some(ManifestProblem::new(
        first.place(""),
        format!(
            "is one object too many: a deployment has at most {}",
            check::MAX_OBJECTS
        ),
        "deploy fewer objects",
    ))
}

fn read_steps(
    inputs: &Inputs<'_>,
    agent_config: &Value,
    problems: &mut Vec<ManifestProblem>,
) -> Vec<Step> {
    let mut step = |part: Part| {
        let objects = match part {
            Part::Namespace => vec![namespace(inputs, problems)],
            Part::BootstrapSecret => vec![bootstrap_secret(inputs.bootstrap_token)],
            Part::ConfigMap => vec![config_map(agent_config)],
            Part::MockApi => read_mock(inputs.sources, problems),
            Part::NodeStateCrd
            | Part::HookCrd
            | Part::ServiceAccount
            | Part::Rbac
            | Part::DaemonSet => read_part(part, inputs.sources, problems),
        };
        Step { part, objects }
    };
    Part::ALL.map(&mut step).into()
}

/// The namespace: a folder's own, with its labels, or one that lets the agent into the node's network.
fn namespace(inputs: &Inputs<'_>, problems: &mut Vec<ManifestProblem>) -> Object {
    let is_there = Part::Namespace
        .file()
        .is_some_and(|file| inputs.sources.manifests.text(file).is_some());
    let own = if is_there {
        read_part(Part::Namespace, inputs.sources, problems)
    } else {
        Vec::new()
    };
    let found = own.into_iter().find(|object| object.kind == "Namespace");
    let mut namespace = found.unwrap_or_else(|| {
        Object::made(json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": inputs.namespace,
                "labels": { "pod-security.kubernetes.io/enforce": "privileged" },
            },
        }))
    });
    patch::rename(&mut namespace, inputs.namespace);
    namespace
}

fn bootstrap_secret(token: &Secret) -> Object {
    Object::made(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": names::BOOTSTRAP_SECRET },
        "type": "Opaque",
        "data": { names::BOOTSTRAP_KEY: STANDARD.encode(token.expose()) },
    }))
}

fn config_map(agent_config: &Value) -> Object {
    let text = serde_saphyr::to_string(agent_config)
        .unwrap_or_else(|_| unreachable!("a JSON value is YAML"));
    Object::made(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": names::CONFIG_MAP },
        "data": { names::CONFIG_KEY: text },
    }))
}

/// Every object of a part's own file.
fn read_part(part: Part, sources: &Sources, problems: &mut Vec<ManifestProblem>) -> Vec<Object> {
    let Some(name) = part.file() else {
        return Vec::new();
    };
    let file = sources.manifests.path_of(name);
    let Some(text) = sources.manifests.text(name) else {
        problems.push(missing_file(file, part));
        return Vec::new();
    };
    document::read(&file, text, problems)
}

fn missing_file(file: String, part: Part) -> ManifestProblem {
    let place = Place {
        file,
        ..Place::default()
    };
    let message = format!("is not there; it holds the {part}");
    ManifestProblem::new(
        place,
        message,
        "add it, or use the manifests that are built in",
    )
}

/// Every object of the mock's files, in the order of their names.
fn read_mock(sources: &Sources, problems: &mut Vec<ManifestProblem>) -> Vec<Object> {
    let mut objects = Vec::new();
    for (name, text) in sources.mock.manifests() {
        objects.extend(document::read(&sources.mock.path_of(name), text, problems));
    }
    objects
}

/// Puts everything into the cell's namespace, and the accounts that bindings name with it.
fn move_into_namespace(steps: &mut [Step], namespace: &str) {
    let homes: BTreeSet<String> = steps
        .iter()
        .flat_map(|step| &step.objects)
        .filter_map(|object| object.namespace.clone())
        .collect();
    for object in steps.iter_mut().flat_map(|step| &mut step.objects) {
        patch::set_namespace(object, namespace);
        if matches!(object.kind.as_str(), "ClusterRoleBinding" | "RoleBinding") {
            patch::set_subjects(object, namespace, &homes);
        }
    }
}

fn patch_agent(
    steps: &mut [Step],
    inputs: &Inputs<'_>,
    problems: &mut Vec<ManifestProblem>,
) -> Option<Agent> {
    let file = Part::DaemonSet.file().unwrap_or_default();
    let home = inputs.sources.manifests.path_of(file);
    let object = located(
        steps,
        Part::DaemonSet,
        ("DaemonSet", names::AGENT),
        &home,
        problems,
    )?;
    let (index, container) = noted(locate::container(object, names::AGENT), problems)?;
    patch::set_image(object, index, inputs.agent_image, inputs.pull_policy);
    patch::set_env(object, index, inputs.env);
    if !inputs.probes {
        patch::remove_probes(object);
    }
    let daemon_set = object.decode().ok()?;
    Some(Agent {
        daemon_set,
        container,
    })
}

fn patch_mock(
    steps: &mut [Step],
    inputs: &Inputs<'_>,
    problems: &mut Vec<ManifestProblem>,
) -> Option<Mock> {
    let home = inputs.sources.mock.path_of("*.yaml");
    let service = located(
        steps,
        Part::MockApi,
        ("Service", names::MOCK),
        &home,
        problems,
    )
    .and_then(|object| object.decode().ok());
    let object = located(
        steps,
        Part::MockApi,
        ("Deployment", names::MOCK),
        &home,
        problems,
    )?;
    let (index, container) = noted(locate::container(object, names::MOCK), problems)?;
    patch::set_image(object, index, inputs.mock_image, inputs.pull_policy);
    let deployment = object.decode().ok()?;
    Some(Mock {
        deployment,
        service: service?,
        container,
    })
}

/// The object of this kind that a part is about.
fn located<'s>(
    steps: &'s mut [Step],
    part: Part,
    (kind, name): (&str, &str),
    home: &str,
    problems: &mut Vec<ManifestProblem>,
) -> Option<&'s mut Object> {
    let objects = steps.iter_mut().find(|step| step.part == part);
    let objects = &mut objects?.objects;
    let Some(index) = locate::object(objects, kind, name) else {
        let place = Place {
            file: home.to_owned(),
            ..Place::default()
        };
        problems.push(ManifestProblem::new(
            place,
            format!("holds no {kind} that is called `{name}`, and not exactly one by another name"),
            format!("add it, or call the one that is meant `{name}`"),
        ));
        return None;
    };
    objects.get_mut(index)
}

fn noted<T>(result: Result<T, ManifestProblem>, problems: &mut Vec<ManifestProblem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

fn offered(role: &Object) -> String {
    let place = role.place("");
    format!("{place} is a role that no binding uses: the agent runs without it")
}

/// Files of a run's own making that a folder may hold too.
const MADE_BY_THE_RUN: [&str; 2] = ["secret.yaml", "plexd-config-configmap.yaml"];

/// Names the files that no part reads.
fn notices(sources: &Sources) -> Vec<String> {
    let is_read = |name: &str| Part::ALL.iter().any(|part| part.file() == Some(name));
    sources
        .manifests
        .manifests()
        .map(|(name, _)| name)
        .filter(|name| !is_read(name) && !MADE_BY_THE_RUN.contains(name))
        .map(|name| {
            let file = sources.manifests.path_of(name);
            format!("{file} is not applied: it is none of the files that a deployment is made of")
        })
        .collect()
}
