//! `[kubernetes."x.y"]`, `[config.<name>]` and `[<axis>.<value>]`: the tables of axis values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::axes::AxisValue;
use super::deploy::{image, manifests};
use super::expect::expectations;
use super::keys::{Table, keys, schema, table};
use super::reader::{Entry, Located};
use super::shape::{Elements, Shape, boolean, list, map, path, text};
use super::to_json::References;
use super::{from_env, to_json};
use crate::matrix::environment::{Place, TextSource};
use crate::matrix::problem::Problem;
use crate::matrix::{AgentProgram, Expectations, Layer, Variant};

/// The tables of the values of an axis.
pub(super) type ValueTables = Elements<(Located<AxisValue>, ValueTable)>;

/// The settings that apply to each cell with a value, or to an included cell.
#[derive(Clone, Debug, Default)]
pub(super) struct CellSettings {
    pub(super) tags: Vec<String>,
    pub(super) allow_failure: Option<bool>,
}

impl CellSettings {
    /// Reads the settings; `None` if the table has none.
    pub(super) fn read(keys: &mut Table<'_>) -> Option<Self> {
        let mut settings = Self::default();
        keys! { keys;
            /// Tags of the cells, for [filters](filters.md).
            "tags": list(tag()) => settings.tags;
            /// If `true`, failures of the cells don't change the exit code. Reports show them.
            "allow-failure": boolean() => settings.allow_failure;
        }
        let given = ["tags", "allow-failure"].map(|key| keys.get(key));
        given.iter().any(Option::is_some).then_some(settings)
    }
}

fn tag() -> Shape<String> {
    text().matching(
        "^[A-Za-z0-9][A-Za-z0-9._-]*$",
        "can't be a tag",
        "a tag consists of letters, digits, `.`, `_` and `-`, and starts with a letter or digit",
    )
}

/// The table of a value: `[kubernetes."x.y"]`, `[config.<name>]` or `[<axis>.<value>]`.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueTable {
    /// The node image, in the table of a Kubernetes version.
    pub(super) node_image: Option<String>,
    /// The settings, in the table of any other value.
    pub(super) layer: Option<Layer>,
    /// The names of the counters in `expect`.
    pub(super) counters: Vec<Located<String>>,
    pub(super) settings: CellSettings,
}

/// The table of a Kubernetes version.
pub(super) fn version(keys: &mut Table<'_>) -> ValueTable {
    let mut table = ValueTable::default();
    keys! { keys;
        /// kind's node image, with a tag or digest. The default is the newest local `kindest/node:v<version>.*`,
        /// or a published image if there is none.
        "image": image() => table.node_image;
    }
    table.settings = CellSettings::read(keys).unwrap_or_default();
    table
}

/// The table of any other value.
pub(super) fn settings(keys: &mut Table<'_>) -> ValueTable {
    let mut variant = Variant::default();
    let mut configured = (Map::new(), Vec::new());
    let mut expected = (Expectations::default(), Vec::new());
    let (mut env, mut program_image, mut binary) = (BTreeMap::new(), None, None);
    keys! { keys;
        /// Merged key by key over [the base of the agent's configuration](#the-agents-configuration). All keys are
        /// allowed; dates and infinite numbers are not. Strings can [come from the environment](#values-from-the-environment).
        "agent": agent() => configured;
        /// The values that the counters must reach, per node; by default 1 each.
        "expect": table("`expect`", expectations) => expected;
        /// Additional environment variables for the agent's container. A value can
        /// [come from the environment](#values-from-the-environment).
        "env": map(variable()) => env;
        /// Keys of kind's own configuration: `networking`, `featureGates`, `runtimeConfig`, `kubeadmConfigPatches`,
        /// `kubeadmConfigPatchesJSON6902`, `containerdConfigPatches`, `containerdConfigPatchesJSON6902`. `nodes`,
        /// `name` and `image` are rejected, because the cell sets them.
        "kind": kind() => variant.kind;
        /// The agent's image in clusters, instead of the one in `[images.agent]`.
        "image": image() => program_image;
        /// The agent's program for the local provider, instead of `[images.agent] binary`.
        "binary": path() => binary;
    }
    let table = keys.name.trim_matches('`').to_owned();
    variant.manifests = manifests(keys);
    (variant.agent, variant.from_env) = configured;
    let (expect, counters) = expected;
    variant.expect = expect;
    for (name, given) in env {
        match given {
            TextSource::Literal(text) => drop(variant.env.insert(name, text)),
            TextSource::FromEnv(reference) => variant.from_env.push((Place::Env(name), reference)),
        }
    }
    // A value that sets an image or a binary selects another agent.
    if program_image.is_some() || binary.is_some() {
        variant.program = Some(AgentProgram {
            table: table.clone(),
            image: program_image,
            binary,
        });
    }
    let variant = Arc::new(variant);
    ValueTable {
        node_image: None,
        layer: Some(Layer { table, variant }),
        counters,
        settings: CellSettings::read(keys).unwrap_or_default(),
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
        let Some(table) = axis.table(format!("`[{}]`", axis.key)) else {
            return Some(Elements::UNREADABLE);
        };
        let entries = table.entries();
        Some(entries.map(|entry| value(entry, axis.key)).collect())
    })
}

fn value(entry: Entry<'_>, axis: &str) -> Option<(Located<AxisValue>, ValueTable)> {
    let (key, span) = (entry.key, entry.key_span);
    let (read, noun, example): (fn(&mut Table<'_>) -> ValueTable, _, _) = match axis {
        "kubernetes" => (
            version,
            "version",
            "write it in quotes: `[kubernetes.\"1.30\"]`".to_owned(),
        ),
        "config" => (settings, "value", "for example `[config.fast]`".to_owned()),
        axis => (settings, "value", format!("for example `[{axis}.\"1.4\"]`")),
    };
    let value = AxisValue::named(axis, key);
    if let Some(minor) = minor_table(entry) {
        let help = format!(
            "a dot separates keys: write the {noun} in quotes, `[{axis}.\"{key}.{minor}\"]`"
        );
        let message = match value {
            Ok(_) => format!("`{key}.{minor}` is read as two keys"),
            Err(error) => error.to_string(),
        };
        return entry.reject(Problem::at(span, message, help));
    }
    let table = entry.table(format!("`{}`", header(axis, key)));
    let table = table.map(|table| table.read(read));
    match value {
        Ok(value) => Some((Located { value, span }, table?)),
        Err(error) => entry.reject(Problem::at(span, error.to_string(), example)),
    }
}

/// The `30` of `[kubernetes.1.30]`, or the `4` of `[agent.1.4]`. Without quotes, TOML reads such a header as a table
/// within a table.
fn minor_table(entry: Entry<'_>) -> Option<&str> {
    let (inner, _) = entry.value.as_table()?.iter().next()?;
    let may_continue = entry.key.ends_with(|c: char| c.is_ascii_digit());
    let is_split = may_continue && inner.get_ref().parse::<u32>().is_ok();
    is_split.then_some(inner.get_ref())
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
        let table = entry.table("`agent`")?;
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
        let table = entry.table("`kind`")?;
        for entry in table.entries() {
            if let Some(instead) = set_by_the_cell(entry.key) {
                let message = format!("`kind` can't set `{}`", entry.key);
                let problem = Problem::at(entry.key_span, message, instead);
                let problem = problem.labelled("the cell sets this");
                entry.document.report(problem);
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
        |text, key| {
            text.contains('\0')
                .then(|| format!("`{key}` contains a NUL character"))
        },
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
