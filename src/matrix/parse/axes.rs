//! `[matrix]`: the axes, and the cells that are excluded and included.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use miette::SourceSpan;
use serde_json::json;

use super::expand::Point;
use super::keys::{Table, keys, tables};
use super::reader::{Entry, Located};
use super::shape::{Elements, Shape, elements, integer, parsed};
use super::variants::CellSettings;
use crate::matrix::axis::check_axis_name;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;
use crate::matrix::{ConfigName, Coordinate, KubernetesVersion, NodeCount};

/// A value on one of the axes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AxisValue {
    Kubernetes(KubernetesVersion),
    Nodes(NodeCount),
    Config(ConfigName),
    /// A value on a further axis.
    Further(Coordinate),
}

impl fmt::Display for AxisValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubernetes(version) => version.fmt(formatter),
            Self::Nodes(count) => count.fmt(formatter),
            Self::Config(name) => name.fmt(formatter),
            Self::Further(coordinate) => formatter.pad(coordinate.value()),
        }
    }
}

impl AxisValue {
    /// The value with this name on an axis other than `nodes`.
    pub(super) fn named(axis: &str, text: &str) -> Result<Self, Box<dyn Error>> {
        match axis {
            "kubernetes" => Ok(Self::Kubernetes(text.parse()?)),
            "config" => Ok(Self::Config(ConfigName::parse(text)?)),
            axis => Ok(Self::Further(Coordinate::parse(axis, text)?)),
        }
    }

    /// The shape of the values on `axis`.
    fn shape(axis: &str) -> Shape<Self> {
        let (pattern, help) = match axis {
            "kubernetes" => return version(),
            "nodes" => return nodes(),
            "config" => ("^[a-z][a-z0-9-]*$", "for example `fast` or `low-memory`"),
            _ => (
                "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
                "for example `\"1.4\"` or `\"snapshot\"`",
            ),
        };
        let axis = axis.to_owned();
        parsed(move |text| Self::named(&axis, text), help).with("pattern", pattern)
    }
}

fn version() -> Shape<AxisValue> {
    let help = "write only major and minor: `\"1.30\"`, not `\"v1.30.2\"`";
    let version = parsed(|text| AxisValue::named("kubernetes", text), help);
    let version = version.guarded(|entry| {
        let Some(float) = entry.value.as_float() else {
            return Some(());
        };
        let source = entry.source();
        let number: f64 = float.as_str().parse().unwrap_or(f64::NAN);
        let message = format!("a version needs quotes: `{source}` is the number {number}");
        let help = format!("write it in quotes: `\"{source}\"`");
        let problem = Problem::at(entry.span, message, help);
        entry.reject(problem.labelled("a number, not a version"))
    });
    version.with("pattern", r"^[0-9]+\.[0-9]+$")
}

fn nodes() -> Shape<AxisValue> {
    let max = NodeCount::MAX;
    let help = format!("1 to {max}, including the control plane");
    let number = integer::<u16>(1..=u64::from(max), help);
    number.then(|number, _| NodeCount::new(number).map(AxisValue::Nodes))
}

/// The axes of every matrix.
pub(super) const FIXED: [&str; 3] = ["kubernetes", "nodes", "config"];

/// The values of an axis.
pub(super) type Values = Elements<Located<AxisValue>>;

impl Values {
    /// The values of an axis that the file doesn't set: only its default, whose place is that of the table.
    fn only(value: AxisValue, span: SourceSpan) -> Self {
        Self {
            list: vec![Located { value, span }],
            complete: true,
        }
    }

    fn shape(axis: &str) -> Shape<Self> {
        let values = elements(AxisValue::shape(axis).located()).then(|values, entry| {
            let mut distinct: Vec<Located<AxisValue>> = Vec::new();
            for new in values.list {
                let Some(first) = distinct.iter().find(|known| known.value == new.value) else {
                    distinct.push(new);
                    continue;
                };
                let message = format!("`{}` is listed twice in `{}`", new.value, entry.key);
                let help = "two cells would have the same id: remove one of the two";
                let problem = Problem::at(new.span, message, help);
                entry.document.report(problem.repeats(first.span));
            }
            let complete = values.complete;
            let list = distinct;
            Some(Self { list, complete })
        });
        values.written(|values| {
            let written = values.list.iter().map(|value| match &value.value {
                AxisValue::Nodes(count) => json!(count.get()),
                value => json!(value.to_string()),
            });
            written.collect()
        })
    }

    pub(super) fn contains(&self, value: &AxisValue) -> bool {
        self.list.iter().any(|known| known.value == *value)
    }
}

/// `[[matrix.exclude]]` or `[[matrix.include]]`.
#[derive(Clone, Debug)]
pub(super) struct Combination {
    pub(super) span: SourceSpan,
    /// The values, by the index of the axis. An include has a value for each axis.
    pub(super) values: BTreeMap<usize, Located<AxisValue>>,
    /// The settings that an include adds to its cell, if it has any.
    pub(super) settings: Option<CellSettings>,
}

impl Combination {
    /// Reads a combination of values on these axes. Its schema allows any further axes, because each file has its own.
    fn read(keys: &mut Table<'_>, axes: &[String], is_include: bool) -> Option<Self> {
        let mut values = BTreeMap::new();
        let mut is_complete = true;
        for (index, axis) in axes.iter().enumerate() {
            let mut value: Option<Located<AxisValue>> = None;
            let shape = || AxisValue::shape(axis).located();
            keys.key(axis, "The value on this axis.", shape, &mut value);
            if is_include {
                let example = match &**axis {
                    "kubernetes" => "\"1.30\"",
                    "nodes" => "1",
                    "config" => "\"default\"",
                    _ => "\"…\"",
                };
                keys.require(axis, example);
            }
            is_complete &= value.is_some() || (keys.get(axis).is_none() && !is_include);
            values.extend(value.map(|value| (index, value)));
        }
        let doc = "The value on this further axis.";
        keys.describe(None, doc, || AxisValue::shape("").schema);
        let settings = is_include.then(|| CellSettings::read(keys)).flatten();
        if !is_include && keys.entries().next().is_none() {
            let message = "this exclude is empty, so it would match every cell";
            let help = format!("give it at least one of {}", quoted(axes));
            keys.report_missing(message, help);
            return None;
        }
        is_complete.then_some(Self {
            span: keys.span,
            values,
            settings,
        })
    }

    fn shape(axes: Vec<String>, is_include: bool) -> Shape<Elements<Self>> {
        tables("matrix.", move |keys| Self::read(keys, &axes, is_include))
    }

    /// Whether `point` has all values of the combination.
    pub(super) fn matches(&self, point: &Point<'_>) -> bool {
        let mut values = self.values.iter();
        values.all(|(index, own)| own.value == *point[*index])
    }

    /// The point that an include refers to.
    pub(super) fn point(&self) -> Point<'_> {
        self.values.values().map(|value| &value.value).collect()
    }
}

/// The `[matrix]` table.
#[derive(Clone, Debug)]
pub(super) struct MatrixTable {
    pub(super) span: SourceSpan,
    /// All axes with valid names: the fixed axes, followed by the further axes in the order of the file.
    pub(super) axes: Vec<(String, Values)>,
    /// The names of the further axes, including invalid ones.
    pub(super) further_names: Vec<String>,
    pub(super) excludes: Elements<Combination>,
    pub(super) includes: Elements<Combination>,
}

impl MatrixTable {
    pub(super) fn read(keys: &mut Table<'_>) -> Self {
        let mut kubernetes = None;
        let mut nodes = Values::only(AxisValue::Nodes(NodeCount::default()), keys.span);
        let mut config = Values::only(AxisValue::Config(ConfigName::default()), keys.span);
        keys! { keys;
            /// Minor versions such as `"1.30"`. Quotes are required: without them, `1.30` is the number 1.3, which
            /// is rejected.
            "kubernetes": Values::shape("kubernetes") => kubernetes, required "[…]";
            /// Numbers of nodes per cluster, including the control plane: 1 to 5000.
            "nodes": Values::shape("nodes") => nodes;
            /// Names of [config variants](#configname).
            "config": Values::shape("config") => config;
        }
        let values = [kubernetes.unwrap_or(Values::UNREADABLE), nodes, config];
        let fixed = FIXED.map(str::to_owned);
        let schema = |is_include| Combination::shape(fixed.to_vec(), is_include).schema;
        // They can be read only when the names of the further axes are known.
        let exclude = keys.entry("exclude", "Combinations to remove.", || schema(false));
        let include = keys.entry("include", "Cells to add.", || schema(true));
        let mut matrix = Self {
            span: keys.span,
            axes: fixed.into_iter().zip(values).collect(),
            further_names: Vec::new(),
            excludes: Elements::NONE,
            includes: Elements::NONE,
        };
        let doc = "The values of a [further axis](#further-axes).";
        for entry in keys.others(doc, || Values::shape("").schema) {
            matrix.read_axis(entry, keys);
        }
        let names = matrix.axes.iter().map(|(name, _)| name.clone());
        let names: Vec<String> = names.collect();
        let combinations = |entry: Entry<'_>, is_include| {
            let combinations = Combination::shape(names.clone(), is_include).read(entry);
            combinations.unwrap_or(Elements::UNREADABLE)
        };
        matrix.excludes = exclude.map_or(Elements::NONE, |entry| combinations(entry, false));
        matrix.includes = include.map_or(Elements::NONE, |entry| combinations(entry, true));
        matrix
    }

    fn read_axis(&mut self, entry: Entry<'_>, keys: &Table<'_>) {
        let known = keys.names();
        // A further axis has tables for its values. If the file has no such table, a key that is similar to a known key
        // is assumed to be a typo.
        let has_tables = entry.document.root.contains_key(entry.key);
        if !has_tables && nearest(entry.key, known.iter().copied()).is_some() {
            keys.report_unknown(entry, &known);
            return;
        }
        self.further_names.push(entry.key.to_owned());
        if let Err(error) = check_axis_name(entry.key) {
            let help = "any other key of `[matrix]` is a further axis: choose a name such as `agent` or `runtime`";
            let problem = Problem::at(entry.key_span, error.to_string(), help);
            entry.document.report(problem);
            return;
        }
        let values = Values::shape(entry.key).read(entry);
        let values = values.unwrap_or(Values::UNREADABLE);
        self.axes.push((entry.key.to_owned(), values));
    }
}
