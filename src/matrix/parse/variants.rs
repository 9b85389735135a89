//! `[kubernetes."x.y"]`, `[config.<name>]` and `[<axis>.<value>]`: the tables of axis values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::axes::AxisValue;
use super::deploy::{image, manifests};
use super::expect::expectations;
use super::keys::{Keys, described, keys, schema, table};
use super::reader::{Entry, Located, Table};
use super::shape::{Shape, boolean, list, map, path, text};
use super::to_json::References;
use super::{from_env, to_json};
use crate::matrix::environment::{Place, TextSource};
use crate::matrix::problem::Problem;
use crate::matrix::{AgentProgram, Layer, Variant};

/// The tables of the values of an axis.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueTables {
    pub(super) tables: Vec<(Located<AxisValue>, ValueTable)>,
    /// Whether a table couldn't be read. If `false`, no other value has a table.
    pub(super) incomplete: bool,
}

/// The settings that apply to each cell with a value, or to an included cell.
#[derive(Clone, Debug, Default)]
pub(super) struct CellSettings {
    pub(super) tags: Vec<String>,
    pub(super) allow_failure: Option<bool>,
}

impl CellSettings {
    pub(super) fn read(keys: &mut Keys<'_>) -> Self {
        let mut settings = Self::default();
        keys! { keys;
            /// Tags of the cells, for [filters](filters.md).
            "tags": list(tag()) => settings.tags;
            /// If `true`, failures of the cells don't change the exit code. Reports show them.
            "allow-failure": boolean() => settings.allow_failure;
        }
        settings
    }

    /// Whether the settings change a cell that would exist without them.
    pub(super) fn change_the_cell(&self) -> bool {
        !self.tags.is_empty() || self.allow_failure.is_some()
    }
}

fn tag() -> Shape<String> {
    text().matching(
        "^[A-Za-z0-9][A-Za-z0-9._-]*$",
        "can't be a tag",
        "a tag consists of letters, digits, `.`, `_` and `-`, and starts with a letter or digit",
    )
}

/// The `30` of `[kubernetes.1.30]`, or the `4` of `[agent.1.4]`. Without quotes, TOML reads such a header as a table
/// within a table.
fn minor_table(entry: Entry<'_>) -> Option<&str> {
    let (key, _) = entry.value.as_table()?.iter().next()?;
    let is_number = key.get_ref().bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(key.get_ref())
}

/// The table of a value: `[kubernetes."x.y"]`, `[config.<name>]` or `[<axis>.<value>]`.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueTable {
    /// The node image, in the table of a Kubernetes version.
    pub(super) node_image: Option<String>,
    /// The settings, in the table of any other value.
    pub(super) layer: Option<Layer>,
    pub(super) settings: CellSettings,
}

/// The table of a Kubernetes version.
pub(super) fn version(keys: &mut Keys<'_>) -> ValueTable {
    let mut table = ValueTable::default();
    keys! { keys;
        /// kind's node image, with a tag or digest. The default is the newest local `kindest/node:v<version>.*`,
        /// or a published image if there is none.
        "image": image() => table.node_image;
    }
    table.settings = CellSettings::read(keys);
    table
}

/// The table of any other value.
pub(super) fn settings(keys: &mut Keys<'_>) -> ValueTable {
    let mut variant = Variant::default();
    let (mut configured, mut env) = ((Map::new(), Vec::new()), BTreeMap::new());
    let mut program = AgentProgram {
        table: keys.table.name.trim_matches('`').to_owned(),
        image: None,
        binary: None,
    };
    keys! { keys;
        /// Merged key by key over [the base of the agent's configuration](#the-agents-configuration). All keys are
        /// allowed; dates and infinite numbers are not. Strings can [come from the environment](#values-from-the-environment).
        "agent": agent() => configured;
        /// The values that the counters must reach, per node; by default 1 each.
        "expect": table("`expect`", expectations) => variant.expect;
        /// Additional environment variables for the agent's container. A value can
        /// [come from the environment](#values-from-the-environment).
        "env": map(variable()) => env;
        /// Keys of kind's own configuration: `networking`, `featureGates`, `runtimeConfig`, `kubeadmConfigPatches`,
        /// `kubeadmConfigPatchesJSON6902`, `containerdConfigPatches`, `containerdConfigPatchesJSON6902`. `nodes`,
        /// `name` and `image` are rejected, because the cell sets them.
        "kind": kind() => variant.kind;
        /// The agent's image in clusters, instead of the one in `[images.agent]`.
        "image": image() => program.image;
        /// The agent's program for the local provider, instead of `[images.agent] binary`.
        "binary": path() => program.binary;
    }
    variant.manifests = manifests(keys);
    let settings = CellSettings::read(keys);
    (variant.agent, variant.from_env) = configured;
    for (name, given) in env {
        match given {
            TextSource::Literal(text) => drop(variant.env.insert(name, text)),
            TextSource::FromEnv(reference) => variant.from_env.push((Place::Env(name), reference)),
        }
    }
    let table = program.table.clone();
    // A value that sets an image or a binary selects another agent.
    let has_program = program.image.is_some() || program.binary.is_some();
    variant.program = has_program.then_some(program);
    let variant = Arc::new(variant);
    ValueTable {
        node_image: None,
        layer: Some(Layer { table, variant }),
        settings,
    }
}

/// The tables of all values of an axis: each `[<axis>.<value>]`.
pub(super) fn tables(axis: &str) -> Shape<ValueTables> {
    let schema = match axis {
        "kubernetes" => schema(version),
        _ => json!({ "$ref": "#/definitions/value" }),
    };
    let schema = json!({ "type": "object", "additionalProperties": schema });
    Shape::new(schema, move |axis| {
        let table = axis.table(format!("`[{}]`", axis.key));
        let entries: Vec<_> = table.iter().flat_map(Table::entries).collect();
        let tables = entries.iter().filter_map(|entry| value(*entry, axis.key));
        let tables: Vec<_> = tables.collect();
        let incomplete = table.is_none() || tables.len() < entries.len();
        Some(ValueTables { tables, incomplete })
    })
}

fn value(entry: Entry<'_>, axis: &str) -> Option<(Located<AxisValue>, ValueTable)> {
    let value = value_key(entry, axis);
    let table = entry.table(format!("`{}`", header(axis, entry.key)))?;
    if axis == "kubernetes" {
        // `value?` comes first: after an invalid header such as `[kubernetes.1.30]`, the keys would also be reported as
        // unknown.
        return Some((value?, Keys::read(table, version)));
    }
    if let Some(minor) = minor_table(entry)
        && !described(settings)
            .iter()
            .any(|key| key.name.as_deref() == Some(entry.key))
    {
        let value = format!("{}.{minor}", entry.key);
        let message = format!("`{value}` is read as two keys");
        let help =
            format!("a dot separates keys: write the value in quotes, `[{axis}.\"{value}\"]`");
        return entry.reject(Problem::at(entry.key_span, message, help));
    }
    let settings = Keys::read(table, settings);
    Some((value?, settings))
}

/// The key of the table as a value of the axis.
fn value_key(entry: Entry<'_>, axis: &str) -> Option<Located<AxisValue>> {
    let (key, span) = (entry.key, entry.key_span);
    let help = match (axis, minor_table(entry)) {
        ("kubernetes", Some(minor)) => format!(
            "a dot separates keys: write the version in quotes, `[kubernetes.\"{key}.{minor}\"]`"
        ),
        ("kubernetes", None) => "write it in quotes: `[kubernetes.\"1.30\"]`".to_owned(),
        ("config", _) => "for example `[config.fast]`".to_owned(),
        (axis, _) => format!("for example `[{axis}.\"1.4\"]`"),
    };
    match AxisValue::named(axis, key) {
        Ok(value) => Some(Located { value, span }),
        Err(error) => entry.reject(Problem::at(span, error.to_string(), help)),
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
fn agent() -> Shape<(Map<String, Value>, References)> {
    Shape::new(json!({ "type": "object" }), |entry| {
        if from_env::is_reference(entry) {
            let message = "`agent` can't come from the environment as a whole";
            let help = "single values in it can: `agent = { token = { from-env = \"NAME\" } }`";
            return entry.fail(message, help);
        }
        let table = entry.table("`agent`".to_owned())?;
        Some(to_json::object(&table))
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
    let properties = Map::from_iter(KIND_KEYS.map(|key| (key.to_owned(), json!({}))));
    let schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    Shape::new(schema, |entry| {
        let table = entry.table("`kind`".to_owned())?;
        for entry in table.entries() {
            if let Some(instead) = set_by_the_cell(entry.key) {
                let message = format!("`kind` can't set `{}`", entry.key);
                let problem = Problem::at(entry.key_span, message, instead);
                entry.report.add(problem.labelled("the cell sets this"));
            } else if !KIND_KEYS.contains(&entry.key) {
                table.report_unknown(entry, &KIND_KEYS);
            }
        }
        to_json::plain(entry)?.as_object().cloned()
    })
}

/// What to do instead, if `key` is a key of kind's file that the runner sets itself.
fn set_by_the_cell(key: &str) -> Option<&'static str> {
    match key {
        "nodes" => Some("the axis `nodes` sets the number of nodes"),
        "name" => Some("`cluster-prefix` in `[run]` sets the prefix of cluster names"),
        "image" => Some("`image` in `[kubernetes.\"x.y\"]` sets the node image of a version"),
        "apiVersion" | "kind" => Some("remove it: the runner always sets it"),
        _ => None,
    }
}

/// A variable of the agent's container.
fn variable() -> Shape<TextSource> {
    let value = text().checked(
        |text| !text.contains('\0'),
        |_, key| format!("`{key}` contains a NUL character"),
        "the value of an environment variable can't contain one: remove it",
    );
    let value = from_env::or(value);
    Shape::new(value.schema.clone(), move |entry| {
        let (key, value) = (entry.key, value.read(entry));
        if is_variable_name(key) {
            return value;
        }
        let message = format!("`{key}` can't be the name of an environment variable");
        let help = "use letters, digits, `_`, `-` and `.`, and don't start with a digit";
        entry.reject(Problem::at(entry.key_span, message, help))
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
