//! `[matrix]`: the axes, and the cells that are excluded and included.

use std::fmt::Display;
use std::ops::RangeInclusive;

use miette::SourceSpan;
use toml::de::DeValue;

use super::reader::{Entry, Located, Table};
use super::tags;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;
use crate::matrix::{AxisName, ConfigName, KubernetesVersion, NodeCount, ValueName};

/// The type of an axis's values.
pub(super) trait AxisValue: Clone + Ord + Display {
    /// Reads a value, or reports a problem at its place.
    fn read(entry: Entry<'_>) -> Option<Located<Self>>;
}

impl AxisValue for KubernetesVersion {
    fn read(entry: Entry<'_>) -> Option<Located<Self>> {
        if let DeValue::Float(number) = entry.value {
            let source = entry.report.source(entry.span);
            let meant: f64 = number.as_str().parse().unwrap_or(f64::NAN);
            entry.problem(
                format!("a version without quotes: `{source}` is the number {meant}"),
                "a number, not a version",
                format!("write it in quotes: `\"{source}\"`"),
            );
            return None;
        }
        entry.parsed(
            str::parse,
            "only major and minor: `\"1.30\"`, not `\"v1.30.2\"`",
        )
    }
}

impl AxisValue for NodeCount {
    fn read(entry: Entry<'_>) -> Option<Located<Self>> {
        const RANGE: RangeInclusive<u64> = 1..=NodeCount::MAX as u64;
        let help = format!(
            "every node counts, the control plane included: 1 to {}",
            Self::MAX
        );
        let number = u16::try_from(entry.integer(RANGE, &help)?).ok()?;
        Self::new(number).map(|count| entry.located(count))
    }
}

impl AxisValue for ConfigName {
    fn read(entry: Entry<'_>) -> Option<Located<Self>> {
        entry.parsed(Self::parse, "for example `fast` or `low-memory`")
    }
}

impl AxisValue for ValueName {
    fn read(entry: Entry<'_>) -> Option<Located<Self>> {
        entry.parsed(Self::parse, "for example `\"1.4\"` or `\"snapshot\"`")
    }
}

/// One axis.
#[derive(Debug)]
pub(super) struct Axis<T> {
    pub(super) values: Vec<Located<T>>,
    /// Whether every value could be read, so that other values aren't on the axis.
    pub(super) complete: bool,
}

/// An axis about which nothing is known.
impl<T> Default for Axis<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            complete: false,
        }
    }
}

impl<T: AxisValue> Axis<T> {
    /// The axis in `table`, or `default` if the file doesn't have it.
    fn read(table: &Table<'_>, key: &str, default: Option<T>) -> Self {
        match (table.get(key), default) {
            (Some(entry), _) => Self::listed(entry),
            (None, Some(value)) => Self {
                values: vec![Located {
                    value,
                    span: table.span,
                }],
                complete: true,
            },
            (None, None) => {
                let example = format!("{key} = […]");
                let _reported = table.require(key, &example);
                Self::default()
            }
        }
    }

    fn listed(entry: Entry<'_>) -> Self {
        let elements = entry.list();
        let count = elements.as_ref().map(Vec::len);
        let read: Vec<_> = elements.into_iter().flatten().filter_map(T::read).collect();
        let complete = count == Some(read.len());
        let mut axis = Self {
            values: Vec::with_capacity(read.len()),
            complete,
        };
        for value in read {
            axis.push(value, entry);
        }
        axis
    }

    fn push(&mut self, new: Located<T>, entry: Entry<'_>) {
        let Some(first) = self.find(&new.value) else {
            self.values.push(new);
            return;
        };
        let message = format!("`{}` stands twice on `{}`", new.value, entry.key);
        entry.report.add(
            Problem::at(new.span, message, "again")
                .and_at(first.span, "first here")
                .with_help("two cells would have one id: remove one of them"),
        );
    }

    pub(super) fn find(&self, value: &T) -> Option<&Located<T>> {
        self.values.iter().find(|known| known.value == *value)
    }
}

/// A further axis, which the file adds.
#[derive(Debug)]
pub(super) struct FurtherAxis {
    pub(super) name: AxisName,
    pub(super) axis: Axis<ValueName>,
}

/// The axes.
#[derive(Debug, Default)]
pub(super) struct Axes {
    pub(super) kubernetes: Axis<KubernetesVersion>,
    pub(super) nodes: Axis<NodeCount>,
    pub(super) config: Axis<ConfigName>,
    /// The further axes, in order.
    pub(super) further: Vec<FurtherAxis>,
    /// All keys that are meant as further axes, including those that can't be one.
    pub(super) keys: Vec<String>,
}

/// The keys of `[matrix]` that aren't further axes.
const KEYS: [&str; 5] = ["kubernetes", "nodes", "config", "exclude", "include"];

impl Axes {
    fn read(table: &Table<'_>, root: &Table<'_>) -> Self {
        let mut axes = Self {
            kubernetes: Axis::read(table, "kubernetes", None),
            nodes: Axis::read(table, "nodes", Some(NodeCount::default())),
            config: Axis::read(table, "config", Some(ConfigName::default())),
            further: Vec::new(),
            keys: Vec::new(),
        };
        let others = table.entries().filter(|entry| !KEYS.contains(&entry.key));
        let mut others: Vec<_> = others.collect();
        // The document doesn't keep the order.
        others.sort_by_key(|entry| entry.key_span.offset());
        for entry in others {
            // An axis has tables. If there are none, a key that is similar to a known one is a typo.
            if root.get(entry.key).is_none() && nearest(entry.key, KEYS).is_some() {
                table.reject(entry, &KEYS);
                continue;
            }
            axes.keys.push(entry.key.to_owned());
            match AxisName::parse(entry.key) {
                Ok(name) => axes.further.push(FurtherAxis {
                    name,
                    axis: Axis::listed(entry),
                }),
                Err(error) => entry.report.add(
                    Problem::at(entry.key_span, error.to_string(), "").with_help(
                        "every other key of `[matrix]` is a further axis: choose a name such as `agent` or `runtime`",
                    ),
                ),
            }
        }
        axes
    }

    /// The keys for values in excludes and includes.
    fn names(&self) -> Vec<&str> {
        let further = self.further.iter().map(|axis| axis.name.as_str());
        ["kubernetes", "nodes", "config"]
            .into_iter()
            .chain(further)
            .collect()
    }
}

/// `[[matrix.exclude]]`: a missing key matches every value.
#[derive(Debug)]
pub(super) struct Exclude {
    pub(super) span: SourceSpan,
    pub(super) kubernetes: Option<Located<KubernetesVersion>>,
    pub(super) nodes: Option<Located<NodeCount>>,
    pub(super) config: Option<Located<ConfigName>>,
    /// The values on the further axes.
    pub(super) further: Vec<Option<Located<ValueName>>>,
}

/// `[[matrix.include]]`.
#[derive(Debug)]
pub(super) struct Include {
    pub(super) span: SourceSpan,
    pub(super) kubernetes: Located<KubernetesVersion>,
    pub(super) nodes: Located<NodeCount>,
    pub(super) config: Located<ConfigName>,
    /// The values on the further axes.
    pub(super) further: Vec<Located<ValueName>>,
    pub(super) tags: Vec<String>,
    pub(super) allow_failure: Option<bool>,
}

/// The whole `[matrix]` table.
#[derive(Debug)]
pub(super) struct MatrixTable {
    pub(super) span: SourceSpan,
    pub(super) axes: Axes,
    pub(super) excludes: Vec<Exclude>,
    pub(super) includes: Vec<Include>,
    /// Whether every include could be read, so that other cells aren't included.
    pub(super) includes_complete: bool,
}

impl MatrixTable {
    /// The table if the file doesn't have it.
    pub(super) fn missing() -> Self {
        Self {
            span: (0..0).into(),
            axes: Axes::default(),
            excludes: Vec::new(),
            includes: Vec::new(),
            includes_complete: false,
        }
    }

    /// Reads `table`, which is a part of `root`.
    pub(super) fn read(table: &Table<'_>, root: &Table<'_>) -> Self {
        let axes = Axes::read(table, root);
        let excludes = table.tables("exclude", "matrix.exclude");
        let includes = table.tables("include", "matrix.include");
        let read = includes.iter().filter_map(|table| include(table, &axes));
        let read: Vec<_> = read.collect();
        let excludes = excludes.iter().filter_map(|table| exclude(table, &axes));
        Self {
            span: table.span,
            excludes: excludes.collect(),
            includes_complete: read.len() == includes.len(),
            includes: read,
            axes,
        }
    }
}

fn exclude(table: &Table<'_>, axes: &Axes) -> Option<Exclude> {
    let names = axes.names();
    table.only(&names);
    if table.entries().next().is_none() {
        table.report.add_missing(
            Problem::at(
                table.span,
                "this exclude names nothing, so it would match every cell",
                "",
            )
            .with_help(format!("give it at least one of {}", quoted(&names))),
        );
        return None;
    }
    Some(Exclude {
        span: table.span,
        kubernetes: given(table, "kubernetes")?,
        nodes: given(table, "nodes")?,
        config: given(table, "config")?,
        further: axes
            .further
            .iter()
            .map(|axis| given(table, axis.name.as_str()))
            .collect::<Option<_>>()?,
    })
}

/// The value if the key is given; the inner `None` if its value can't be used.
#[expect(clippy::option_option, reason = "outer: usable, inner: given")]
fn given<T: AxisValue>(table: &Table<'_>, key: &str) -> Option<Option<Located<T>>> {
    match table.get(key) {
        Some(entry) => T::read(entry).map(Some),
        None => Some(None),
    }
}

fn include(table: &Table<'_>, axes: &Axes) -> Option<Include> {
    let mut known = axes.names();
    known.extend(["tags", "allow-failure"]);
    table.only(&known);
    let kubernetes = required(table, "kubernetes", "\"1.30\"");
    let nodes = required(table, "nodes", "1");
    let config = required(table, "config", "\"default\"");
    let further = axes.further.iter();
    let further = further.map(|axis| required(table, axis.name.as_str(), "\"…\""));
    let further: Vec<_> = further.collect();
    let tags = tags::read(table);
    let allow_failure = table.get("allow-failure").and_then(|entry| entry.boolean());
    Some(Include {
        span: table.span,
        kubernetes: kubernetes?,
        nodes: nodes?,
        config: config?,
        further: further.into_iter().collect::<Option<_>>()?,
        tags,
        allow_failure,
    })
}

fn required<T: AxisValue>(table: &Table<'_>, key: &str, example: &str) -> Option<Located<T>> {
    let entry = table.require(key, &format!("{key} = {example}"));
    entry.and_then(T::read)
}
