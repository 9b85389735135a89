//! `[kubernetes."x.y"]`, `[config.<name>]` and `[<axis>.<value>]`: the tables for single values of the axes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use toml::de::DeValue;

use super::reader::{Entry, Located, Table};
use super::{expect, from_env, images, json, settings, tags};
use crate::matrix::environment::Place;
use crate::matrix::problem::Problem;
use crate::matrix::{
    AgentProgram, ConfigName, FromEnv, KubernetesVersion, Layer, Manifests, ValueName, Variant,
};

/// The tables below one key, each named by an axis value.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) tables: Vec<T>,
    /// Whether every table could be read. If so, a value that isn't among them has no table.
    pub(super) complete: bool,
}

impl<T> Named<T> {
    fn read(root: &Table<'_>, key: &str, read: impl Fn(Entry<'_>) -> Option<T>) -> Self {
        let table = root.table(key);
        let entries: Vec<_> = table.iter().flat_map(Table::entries).collect();
        let tables: Vec<_> = entries.iter().copied().filter_map(read).collect();
        let readable = table.is_some() || root.get(key).is_none();
        Self {
            complete: readable && tables.len() == entries.len(),
            tables,
        }
    }
}

/// The settings for every cell with one axis value.
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) tags: Vec<String>,
    pub(super) allow_failure: bool,
}

impl Reach {
    fn read(table: &Table<'_>) -> Self {
        let allow_failure = table.get("allow-failure").and_then(|entry| entry.boolean());
        Self {
            tags: tags::read(table),
            allow_failure: allow_failure.unwrap_or(false),
        }
    }
}

/// `[kubernetes."x.y"]`.
#[derive(Debug)]
pub(super) struct VersionTable {
    pub(super) version: Located<KubernetesVersion>,
    pub(super) image: Option<String>,
    pub(super) reach: Reach,
}

/// `[config.<name>]` or `[<axis>.<value>]`.
#[derive(Debug)]
pub(super) struct ValueTable {
    /// The value.
    pub(super) name: Located<String>,
    pub(super) layer: Layer,
    /// The counters in `expect` that aren't the suite's own, so that only the mock may know them.
    pub(super) further: Vec<Located<String>>,
    pub(super) reach: Reach,
}

/// All `[kubernetes."x.y"]` tables.
pub(super) fn versions(root: &Table<'_>) -> Named<VersionTable> {
    Named::read(root, "kubernetes", version)
}

fn version(entry: Entry<'_>) -> Option<VersionTable> {
    let version = version_key(entry);
    let table = entry.table(format!("`[kubernetes.\"{}\"]`", entry.key))?;
    let version = version?;
    table.only(&["image", "tags", "allow-failure"]);
    Some(VersionTable {
        version,
        image: table.get("image").and_then(images::reference),
        reach: Reach::read(&table),
    })
}

fn version_key(entry: Entry<'_>) -> Option<Located<KubernetesVersion>> {
    let problem = match entry.key.parse() {
        Ok(value) => {
            return Some(Located {
                value,
                span: entry.key_span,
            });
        }
        Err(error) => Problem::at(entry.key_span, format!("{error}"), ""),
    };
    entry.report.add(match minor_table(entry) {
        Some(minor) => problem.with_help(format!(
            "a dot separates keys: write the version in quotes, `[kubernetes.\"{}.{minor}\"]`",
            entry.key
        )),
        None => problem.with_help("write it in quotes: `[kubernetes.\"1.30\"]`"),
    });
    None
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

/// The tables of the values of `axis`: every `[<axis>.<value>]`.
pub(super) fn values(root: &Table<'_>, axis: &str) -> Named<ValueTable> {
    Named::read(root, axis, |entry| value(entry, axis))
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

/// The settings that the table of any value may have.
const KEYS: [&str; 11] = [
    "agent",
    "expect",
    "env",
    "kind",
    "image",
    "binary",
    "manifests",
    "chart",
    "values",
    "tags",
    "allow-failure",
];

fn value(entry: Entry<'_>, axis: &str) -> Option<ValueTable> {
    let is_valid = is_value(entry, axis);
    let header = header(axis, entry.key);
    let table = entry.table(format!("`{header}`"))?;
    if let (false, Some(minor)) = (KEYS.contains(&entry.key), minor_table(entry)) {
        let message = format!("`{}.{minor}` is two keys here", entry.key);
        let help = format!(
            "a dot separates keys: write the value in quotes, `[{axis}.\"{}.{minor}\"]`",
            entry.key
        );
        let problem = Problem::at(entry.key_span, message, "");
        entry.report.add(problem.with_help(help));
        return None;
    }
    table.only(&KEYS);
    let (agent, mut from_env) = agent(&table);
    let (expect, further) = expect::read(&table);
    let env = environment(&table, &mut from_env);
    let variant = Variant {
        agent,
        expect,
        env,
        from_env,
        kind: kind(&table),
        program: program(&table, &header),
        manifests: manifests(&table),
    };
    let reach = Reach::read(&table);
    is_valid.then(|| ValueTable {
        name: Located {
            value: entry.key.to_owned(),
            span: entry.key_span,
        },
        layer: Layer {
            table: header,
            variant: Arc::new(variant),
        },
        further,
        reach,
    })
}

/// Whether the key of the table can be a value of the axis. If not, this is reported.
fn is_value(entry: Entry<'_>, axis: &str) -> bool {
    let (error, help) = if axis == "config" {
        let error = ConfigName::parse(entry.key).err();
        let help = "for example `[config.fast]`".to_owned();
        (error.map(|error| error.to_string()), help)
    } else {
        let error = ValueName::parse(entry.key).err();
        let help = format!("for example `[{axis}.\"1.4\"]`");
        (error.map(|error| error.to_string()), help)
    };
    let Some(error) = error else { return true };
    let problem = Problem::at(entry.key_span, error, "");
    entry.report.add(problem.with_help(help));
    false
}

/// `image` and `binary`. A value that sets either of them selects another agent.
fn program(table: &Table<'_>, header: &str) -> Option<AgentProgram> {
    let image = table.get("image").and_then(images::reference);
    let binary = table.get("binary").and_then(images::path);
    (image.is_some() || binary.is_some()).then(|| AgentProgram {
        table: header.to_owned(),
        image,
        binary,
    })
}

fn manifests(table: &Table<'_>) -> Option<Manifests> {
    match settings::manifests(table) {
        Manifests::BuiltIn => None,
        own @ (Manifests::At(_) | Manifests::Chart { .. }) => Some(own),
    }
}

/// The agent's configuration, whose keys aren't interpreted, and the values in it that come from the environment.
fn agent(table: &Table<'_>) -> (Map<String, Value>, Vec<FromEnv<Place>>) {
    let Some(entry) = table.get("agent") else {
        return Default::default();
    };
    if from_env::is_reference(entry) {
        entry.problem(
            "`agent` can't come from the environment as a whole",
            "",
            "single strings in it can: `agent = { token = { from-env = \"NAME\" } }`",
        );
        return Default::default();
    }
    let Some(table) = entry.table("`agent`".to_owned()) else {
        return Default::default();
    };
    (json::object(&table), from_env::all(&table))
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

fn kind(table: &Table<'_>) -> Map<String, Value> {
    let Some(inner) = table
        .get("kind")
        .and_then(|entry| entry.table("`kind`".to_owned()))
    else {
        return Map::new();
    };
    let (ours, theirs): (Vec<_>, Vec<_>) = inner
        .entries()
        .map(|entry| entry.key)
        .partition(|key| set_by_the_cell(key).is_some());
    for entry in inner.entries() {
        if let Some(instead) = set_by_the_cell(entry.key) {
            let message = format!("`kind` cannot set `{}`", entry.key);
            entry
                .report
                .add(Problem::at(entry.key_span, message, "the cell sets this").with_help(instead));
        }
    }
    if !theirs.is_empty() {
        inner.only(&[&KIND_KEYS[..], &ours].concat());
    }
    from_env::reject(&inner, "`kind`");
    json::object(&inner)
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

/// The variables in the file. Those whose values come from the runner's environment are added to `from_env`.
fn environment(table: &Table<'_>, from_env: &mut Vec<FromEnv<Place>>) -> BTreeMap<String, String> {
    let inner = table
        .get("env")
        .and_then(|entry| entry.table("`env`".to_owned()));
    let entries = inner.iter().flat_map(Table::entries);
    entries
        .filter_map(|entry| variable(entry, from_env))
        .collect()
}

fn variable(entry: Entry<'_>, from_env: &mut Vec<FromEnv<Place>>) -> Option<(String, String)> {
    let named = is_variable_name(entry.key);
    if !named {
        let message = format!(
            "`{}` cannot be the name of an environment variable",
            entry.key
        );
        entry.report.add(
            Problem::at(entry.key_span, message, "")
                .with_help("letters, digits, `_`, `-` and `.`, and no digit first"),
        );
    }
    if from_env::is_reference(entry) {
        from_env.extend(from_env::read(entry, Place::Env(entry.key.to_owned())));
        return None;
    }
    let value = entry.text()?;
    if value.contains('\0') {
        let message = format!("`{}` contains a NUL character", entry.key);
        entry.problem(
            message,
            "",
            "no process can be given such a value: remove it",
        );
        return None;
    }
    named.then(|| (entry.key.to_owned(), value.to_owned()))
}

/// Whether Kubernetes accepts the name for a variable in a container.
fn is_variable_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
