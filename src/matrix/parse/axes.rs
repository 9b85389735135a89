//! `[matrix]`: the axes, and the cells that are excluded and included.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use miette::SourceSpan;
use serde_json::json;

use super::expand::Point;
use super::keys::{Keys, keys, tables};
use super::reader::{Entry, Located, Table};
use super::shape::{Shape, integer, parsed};
use super::variants::CellSettings;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;
use crate::matrix::{AxisName, ConfigName, Coordinate, KubernetesVersion, NodeCount, ValueName};

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
            axis => {
                let (axis, value) = (AxisName::parse(axis)?, ValueName::parse(text)?);
                Ok(Self::Further(Coordinate::new(&axis, &value)))
            }
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

/// The values of an axis. The default has no values and counts as incomplete.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub(super) list: Vec<Located<AxisValue>>,
    /// Whether every value could be read. If so, the axis has no other values.
    pub(super) complete: bool,
}

impl Values {
    /// The values of an axis that the file doesn't set: only its default, whose place is the place of the table.
    fn only(value: AxisValue, table: &Table<'_>) -> Self {
        let span = table.span;
        Self {
            list: vec![Located { value, span }],
            complete: true,
        }
    }

    fn shape(axis: &str) -> Shape<Self> {
        let value = AxisValue::shape(axis).located();
        let schema = json!({ "type": "array", "items": value.schema });
        let read = move |entry: Entry<'_>| {
            let mut values = Self::default();
            if let Some(elements) = entry.list() {
                let read = elements.iter().filter_map(|entry| value.read(*entry));
                let read: Vec<_> = read.collect();
                values.complete = read.len() == elements.len();
                for value in read {
                    values.push(value, entry);
                }
            }
            Some(values)
        };
        Shape::new(schema, read).written(|values| {
            let written = values.list.iter().map(|value| match &value.value {
                AxisValue::Nodes(count) => json!(count.get()),
                value => json!(value.to_string()),
            });
            let written: Vec<_> = written.collect();
            (!written.is_empty()).then_some(written).into()
        })
    }

    fn push(&mut self, new: Located<AxisValue>, entry: Entry<'_>) {
        let Some(first) = self.find(&new.value) else {
            self.list.push(new);
            return;
        };
        let message = format!("`{}` is listed twice in `{}`", new.value, entry.key);
        let help = "two cells would have the same id: remove one of the two";
        let problem = Problem::at(new.span, message, help);
        let problem = problem.labelled("again");
        entry.report.add(problem.and_at(first.span, "first here"));
    }

    pub(super) fn find(&self, value: &AxisValue) -> Option<&Located<AxisValue>> {
        self.list.iter().find(|known| known.value == *value)
    }
}

/// `[[matrix.exclude]]` or `[[matrix.include]]`.
#[derive(Clone, Debug)]
pub(super) struct Combination {
    pub(super) span: SourceSpan,
    /// The values, by the index of the axis. An include has a value for each axis.
    pub(super) values: BTreeMap<usize, Located<AxisValue>>,
    /// The settings that an include adds to its cell.
    pub(super) settings: CellSettings,
}

impl Combination {
    /// Reads a combination of values on these axes. Its schema allows any further axes, because each file has its own.
    fn read(keys: &mut Keys<'_>, axes: &[String], is_include: bool) -> Option<Self> {
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
            is_complete &= value.is_some() || (keys.table.get(axis).is_none() && !is_include);
            values.extend(value.map(|value| (index, value)));
        }
        let doc = "The value on this further axis.";
        keys.describe(None, doc, || AxisValue::shape("").schema);
        let settings = if is_include {
            CellSettings::read(keys)
        } else {
            CellSettings::default()
        };
        let table = &keys.table;
        if !is_include && table.entries().next().is_none() {
            let message = "this exclude is empty, so it would match every cell";
            let help = format!("give it at least one of {}", quoted(axes));
            table.report_missing(message, help);
            return None;
        }
        is_complete.then_some(Self {
            span: table.span,
            values,
            settings,
        })
    }

    fn shape(axes: Vec<String>, is_include: bool) -> Shape<Vec<Self>> {
        let path = if is_include {
            "matrix.include"
        } else {
            "matrix.exclude"
        };
        tables(path, move |keys| Self::read(keys, &axes, is_include))
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

/// The `[matrix]` table. The default has no content and counts as incomplete.
#[derive(Clone, Debug)]
pub(super) struct MatrixTable {
    pub(super) span: SourceSpan,
    /// All axes with valid names: the fixed axes, followed by the further axes in the order of the file.
    pub(super) axes: Vec<(String, Values)>,
    /// The names of the further axes, including invalid ones.
    pub(super) further_names: Vec<String>,
    pub(super) excludes: Vec<Combination>,
    pub(super) includes: Vec<Combination>,
    /// Whether every include could be read. If so, the file has no other includes.
    pub(super) includes_complete: bool,
}

impl Default for MatrixTable {
    fn default() -> Self {
        Self {
            span: (0..0).into(),
            axes: Vec::new(),
            further_names: Vec::new(),
            excludes: Vec::new(),
            includes: Vec::new(),
            includes_complete: false,
        }
    }
}

impl MatrixTable {
    pub(super) fn read(keys: &mut Keys<'_>) -> Self {
        let table = &keys.table;
        let mut kubernetes = Values::default();
        let mut nodes = Values::only(AxisValue::Nodes(NodeCount::default()), table);
        let mut config = Values::only(AxisValue::Config(ConfigName::default()), table);
        keys! { keys;
            /// Minor versions such as `"1.30"`. Quotes are required: without them, `1.30` is the number 1.3, which
            /// is rejected.
            "kubernetes": Values::shape("kubernetes") => kubernetes, required "[…]";
            /// Numbers of nodes per cluster, including the control plane: 1 to 5000.
            "nodes": Values::shape("nodes") => nodes;
            /// Names of [config variants](#configname).
            "config": Values::shape("config") => config;
        }
        let fixed = FIXED.map(str::to_owned);
        let [exclude, include] = [
            ("exclude", "Combinations to remove.", false),
            ("include", "Cells to add.", true),
        ]
        .map(|(key, doc, is_include)| {
            let axes = fixed.to_vec();
            keys.entry(key, doc, || Combination::shape(axes, is_include).schema)
        });
        let mut matrix = Self {
            span: keys.table.span,
            axes: fixed.into_iter().zip([kubernetes, nodes, config]).collect(),
            ..Self::default()
        };
        let doc = "The values of a [further axis](#further-axes).";
        for entry in keys.others(doc, || Values::shape("").schema) {
            matrix.read_axis(entry, keys);
        }
        let names = matrix.axes.iter().map(|(name, _)| name.clone());
        let names: Vec<String> = names.collect();
        let combinations = |entry: Option<Entry<'_>>, is_include| {
            entry.and_then(|entry| Combination::shape(names.clone(), is_include).read(entry))
        };
        matrix.excludes = combinations(exclude, false).unwrap_or_default();
        matrix.includes = combinations(include, true).unwrap_or_default();
        let includes = include.and_then(|entry| entry.value.as_array());
        matrix.includes_complete = matrix.includes.len() == includes.map_or(0, |all| all.len());
        matrix
    }

    fn read_axis(&mut self, entry: Entry<'_>, keys: &Keys<'_>) {
        let known = keys.names();
        // A further axis has tables for its values. If the file has no such table, a key that is similar to a known key
        // is assumed to be a typo.
        if !entry.report.has(&[entry.key]) && nearest(entry.key, known.iter().copied()).is_some() {
            keys.table.report_unknown(entry, &known);
            return;
        }
        self.further_names.push(entry.key.to_owned());
        if let Err(error) = AxisName::parse(entry.key) {
            let help = "any other key of `[matrix]` is a further axis: choose a name such as `agent` or `runtime`";
            let problem = Problem::at(entry.key_span, error.to_string(), help);
            entry.report.add(problem);
            return;
        }
        let values = Values::shape(entry.key).read(entry).unwrap_or_default();
        self.axes.push((entry.key.to_owned(), values));
    }
}
