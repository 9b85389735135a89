//! `[kubernetes."x.y"]`, `[config.<name>]` and `[<axis>.<value>]`: the tables for single values of the axes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use toml::de::DeValue;

use super::axes::AxisValue;
use super::deploy::{image, manifests};
use super::expect::{Expected, expected};
use super::keys::{Keys, described, keys, schema};
use super::reader::{Entry, Located, Table};
use super::shape::{Shape, boolean, list, map, path, text};
use super::{foreign, from_env};
use crate::matrix::environment::{Given, Place};
use crate::matrix::problem::Problem;
use crate::matrix::{AgentProgram, FromEnv, Layer, Variant};

/// The tables of the values of an axis.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) tables: Vec<ValueTable>,
    /// Whether every table could be read. If so, a value that isn't among them has no table.
    pub(super) complete: bool,
}

impl Named {
    pub(super) const fn none() -> Self {
        Self {
            tables: Vec::new(),
            complete: true,
        }
    }
}

impl Default for Named {
    fn default() -> Self {
        Self::none()
    }
}

/// The settings for every cell with one axis value, or of an included cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    pub(super) tags: Vec<String>,
    pub(super) allow_failure: Option<bool>,
}

impl Reach {
    pub(super) fn read(keys: &mut Keys<'_>) -> Self {
        let mut reach = Self::default();
        keys! { keys;
            /// Tags of the cells, for [filters](filters.md).
            "tags": list(tag()) => reach.tags;
            /// If `true`, the exit code ignores failures of the cells. Reports show them.
            "allow-failure": boolean() => reach.allow_failure;
        }
        reach
    }

    /// Whether it changes a cell that exists without it.
    pub(super) fn changes_the_cell(&self) -> bool {
        !self.tags.is_empty() || self.allow_failure.is_some()
    }
}

fn tag() -> Shape<String> {
    text().matching(
        "^[A-Za-z0-9][A-Za-z0-9._-]*$",
        "cannot be a tag",
        "a tag is letters, digits, `.`, `_` and `-`, and starts with a letter or digit",
    )
}

/// The `30` of `[kubernetes.1.30]` and the `4` of `[agent.1.4]`, which TOML reads as a table within a table.
fn minor_table(entry: Entry<'_>) -> Option<&str> {
    let DeValue::Table(inner) = entry.value else {
        return None;
    };
    let (key, _) = inner.iter().next()?;
    let number = key.get_ref().bytes().all(|byte| byte.is_ascii_digit());
    number.then_some(key.get_ref())
}

/// The table of a value: `[kubernetes."x.y"]`, `[config.<name>]` or `[<axis>.<value>]`.
#[derive(Clone, Debug)]
pub(super) struct ValueTable {
    pub(super) value: Located<AxisValue>,
    /// The node image of a Kubernetes version.
    pub(super) node_image: Option<String>,
    /// What any other value changes.
    pub(super) layer: Option<Layer>,
    /// The counters in `expect` that aren't the suite's own, so that only the mock may know them.
    pub(super) further: Vec<Located<String>>,
    pub(super) reach: Reach,
}

/// The table of a Kubernetes version. Without the version, its keys are read for nothing else.
pub(super) fn version(
    keys: &mut Keys<'_>,
    value: Option<Located<AxisValue>>,
) -> Option<ValueTable> {
    let mut node_image = None;
    keys! { keys;
        /// kind's node image, with a tag or digest. The default is the newest local `kindest/node:v<version>.*`,
        /// or a published image if there is none.
        "image": image() => node_image;
    }
    let reach = Reach::read(keys);
    Some(ValueTable {
        value: value?,
        node_image,
        layer: None,
        further: Vec::new(),
        reach,
    })
}

/// The table of any other value.
pub(super) fn settings(
    keys: &mut Keys<'_>,
    value: Option<Located<AxisValue>>,
) -> Option<ValueTable> {
    let (mut configured, mut expect, mut given_env) =
        (Agent::default(), Expected::default(), Vec::new());
    let (mut of_kind, mut tag, mut binary) = (Map::new(), None, None);
    keys! { keys;
        /// Merged key by key over [the base of the agent's configuration](#the-agents-configuration). Any keys; no
        /// dates, no infinities. Strings can [come from the environment](#values-from-the-environment).
        "agent": agent() => configured;
        /// What the counters must reach, per node; by default 1 each.
        "expect": expected() => expect;
        /// Additional environment variables for the agent's container. A value can
        /// [come from the environment](#values-from-the-environment).
        "env": map(variable()) => given_env;
        /// Keys of kind's own configuration: `networking`, `featureGates`, `runtimeConfig`, `kubeadmConfigPatches`,
        /// `kubeadmConfigPatchesJSON6902`, `containerdConfigPatches`, `containerdConfigPatchesJSON6902`. The cell
        /// sets `nodes`, `name` and `image`, so they are errors here.
        "kind": kind() => of_kind;
        /// The agent's image in clusters, instead of that of `[images.agent]`.
        "image": image() => tag;
        /// What the local provider runs as the agent, instead of `[images.agent] binary`.
        "binary": path() => binary;
    }
    let manifests = manifests(keys);
    let reach = Reach::read(keys);
    let mut from_env = configured.from_env;
    let mut env = BTreeMap::new();
    for (name, given) in given_env {
        match given {
            Given::Text(text) => drop(env.insert(name, text)),
            Given::FromEnv(reference) => from_env.push(reference.at(Place::Env(name))),
        }
    }
    let table = keys.table.name.trim_matches('`').to_owned();
    // A value that sets either of the two selects another agent.
    let program = (tag.is_some() || binary.is_some()).then(|| AgentProgram {
        table: table.clone(),
        image: tag,
        binary,
    });
    let variant = Arc::new(Variant {
        agent: configured.content,
        expect: expect.counters,
        env,
        from_env,
        kind: of_kind,
        program,
        manifests,
    });
    Some(ValueTable {
        value: value?,
        node_image: None,
        layer: Some(Layer { table, variant }),
        further: expect.further,
        reach,
    })
}

/// The tables of the values of an axis, which is their key: every `[<axis>.<value>]`.
pub(super) fn tables(axis: &str) -> Shape<Named> {
    let schema = match axis {
        "kubernetes" => schema(|keys| version(keys, None)),
        _ => json!({ "$ref": "#/definitions/value" }),
    };
    let schema = json!({ "type": "object", "additionalProperties": schema });
    Shape::new(schema, move |axis| {
        let table = axis.table(format!("`[{}]`", axis.key));
        let entries: Vec<_> = table.iter().flat_map(Table::entries).collect();
        let tables = entries.iter().filter_map(|entry| value(*entry, axis.key));
        let tables: Vec<_> = tables.collect();
        let complete = table.is_some() && tables.len() == entries.len();
        Some(Named { tables, complete })
    })
}

fn value(entry: Entry<'_>, axis: &str) -> Option<ValueTable> {
    let value = value_key(entry, axis);
    let table = entry.table(format!("`{}`", header(axis, entry.key)))?;
    if axis == "kubernetes" {
        // The keys of `[kubernetes.1.30]` would be unknown as well.
        let value = value?;
        return Keys::read(table, |keys| version(keys, Some(value)));
    }
    if let Some(minor) = minor_table(entry)
        && !described(|keys| settings(keys, None))
            .iter()
            .any(|key| key.name.as_deref() == Some(entry.key))
    {
        let value = format!("{}.{minor}", entry.key);
        let message = format!("`{value}` is two keys here");
        let help =
            format!("a dot separates keys: write the value in quotes, `[{axis}.\"{value}\"]`");
        return entry.fail_at_key(message, "", help);
    }
    Keys::read(table, |keys| settings(keys, value))
}

/// The key of the table as a value of the axis.
fn value_key(entry: Entry<'_>, axis: &str) -> Option<Located<AxisValue>> {
    let key = entry.key;
    let help = match (axis, minor_table(entry)) {
        ("kubernetes", Some(minor)) => format!(
            "a dot separates keys: write the version in quotes, `[kubernetes.\"{key}.{minor}\"]`"
        ),
        ("kubernetes", None) => "write it in quotes: `[kubernetes.\"1.30\"]`".to_owned(),
        ("config", _) => "for example `[config.fast]`".to_owned(),
        (axis, _) => format!("for example `[{axis}.\"1.4\"]`"),
    };
    match AxisValue::named(axis, key) {
        Ok(value) => Some(entry.key_located(value)),
        Err(error) => entry.fail_at_key(error.to_string(), "", help),
    }
}

/// The header of a value's table.
pub(super) fn header(axis: &str, value: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !value.is_empty() && value.chars().all(is_bare) {
        format!("[{axis}.{value}]")
    } else {
        format!("[{axis}.{value:?}]")
    }
}

/// The agent's configuration, whose keys aren't interpreted.
#[derive(Clone, Default)]
struct Agent {
    content: Map<String, Value>,
    /// The values that come from the environment, in place of which there is `null`.
    from_env: Vec<FromEnv<Place>>,
}

fn agent() -> Shape<Agent> {
    Shape::new(json!({ "type": "object" }), |entry| {
        if from_env::is_reference(entry) {
            let message = "`agent` can't come from the environment as a whole";
            let help = "single strings in it can: `agent = { token = { from-env = \"NAME\" } }`";
            return entry.fail(message, "", help);
        }
        let table = entry.table("`agent`".to_owned())?;
        Some(Agent {
            content: foreign::object(&table),
            from_env: from_env::all(entry),
        })
    })
}

/// The keys of kind's own file that a variant may set.
const KIND_KEYS: [&str; 7] = [
    "networking",
    "featureGates",
    "runtimeConfig",
    "kubeadmConfigPatches",
    "kubeadmConfigPatchesJSON6902",
    "containerdConfigPatches",
    "containerdConfigPatchesJSON6902",
];

fn kind() -> Shape<Map<String, Value>> {
    let properties = KIND_KEYS.map(|key| (key.to_owned(), json!({})));
    let properties = Map::from_iter(properties);
    let schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    Shape::new(schema, |entry| {
        let table = entry.table("`kind`".to_owned())?;
        for entry in table.entries() {
            if let Some(instead) = set_by_the_cell(entry.key) {
                let message = format!("`kind` cannot set `{}`", entry.key);
                let problem = Problem::at(entry.key_span, message, "the cell sets this");
                entry.report.add(problem.with_help(instead));
            } else if !KIND_KEYS.contains(&entry.key) {
                table.reject(entry, &KIND_KEYS);
            }
        }
        from_env::reject(entry)?;
        Some(foreign::object(&table))
    })
}

/// For keys of kind's file that the runner sets itself: which setting of the matrix file to use instead.
fn set_by_the_cell(key: &str) -> Option<&'static str> {
    match key {
        "nodes" => Some("the `nodes` axis says how many nodes a cluster has"),
        "name" => Some("`cluster-prefix` in `[run]` is the start of every cluster's name"),
        "image" => Some("`image` in `[kubernetes.\"x.y\"]` names a version's node image"),
        "apiVersion" | "kind" => Some("leave it out: it is always the same"),
        _ => None,
    }
}

/// A variable of the agent's container.
fn variable() -> Shape<Given> {
    let value = text().checked(|text, entry| {
        if !text.contains('\0') {
            return Some(());
        }
        let message = format!("`{}` contains a NUL character", entry.key);
        let help = "no process can be given such a value: remove it";
        entry.fail(message, "", help)
    });
    let value = from_env::or(value);
    Shape::new(value.schema.clone(), move |entry| {
        let (key, value) = (entry.key, value.read(entry));
        if is_variable_name(key) {
            return value;
        }
        let message = format!("`{key}` cannot be the name of an environment variable");
        let help = "letters, digits, `_`, `-` and `.`, and no digit first";
        entry.fail_at_key(message, "", help)
    })
}

/// Whether Kubernetes accepts the name for a variable in a container.
fn is_variable_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
