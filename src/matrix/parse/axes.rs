//! `[matrix]`: the three axes, and what is taken out of their product and put beside it.

use std::fmt::Display;
use std::ops::RangeInclusive;

use miette::SourceSpan;
use toml::de::DeValue;

use super::reader::{Entry, Located, Table};
use super::tags;
use crate::matrix::problem::Problem;
use crate::matrix::{ConfigName, KubernetesVersion, NodeCount};

/// A type whose values stand on an axis.
pub(super) trait AxisValue: Clone + Ord + Display {
    /// The axis's key in the file.
    const KEY: &'static str;
    /// An entry, as a help can show it.
    const EXAMPLE: &'static str;

    /// The value, or a problem at its place.
    fn read(entry: Entry<'_>) -> Option<Located<Self>>;
}

impl AxisValue for KubernetesVersion {
    const KEY: &'static str = "kubernetes";
    const EXAMPLE: &'static str = "kubernetes = \"1.30\"";

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
    const KEY: &'static str = "nodes";
    const EXAMPLE: &'static str = "nodes = 1";

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
    const KEY: &'static str = "config";
    const EXAMPLE: &'static str = "config = \"default\"";

    fn read(entry: Entry<'_>) -> Option<Located<Self>> {
        entry.parsed(Self::parse, "for example `fast` or `low-memory`")
    }
}

/// One axis.
#[derive(Debug)]
pub(super) struct Axis<T> {
    pub(super) values: Vec<Located<T>>,
    /// Every value of it could be read, so what is not among them is not on it.
    pub(super) complete: bool,
}

/// An axis that nothing is known of.
impl<T> Default for Axis<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            complete: false,
        }
    }
}

impl<T: AxisValue> Axis<T> {
    /// The axis in `table`, or `default` where the file has none.
    fn read(table: &Table<'_>, default: Option<T>) -> Self {
        match (table.get(T::KEY), default) {
            (Some(entry), _) => Self::listed(entry),
            (None, Some(value)) => Self {
                values: vec![Located {
                    value,
                    span: table.span,
                }],
                complete: true,
            },
            (None, None) => {
                let example = format!("{} = […]", T::KEY);
                let _reported = table.require(T::KEY, &example);
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
        let message = format!("`{}` stands twice on `{}`", new.value, T::KEY);
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

/// The three axes.
#[derive(Debug, Default)]
pub(super) struct Axes {
    pub(super) kubernetes: Axis<KubernetesVersion>,
    pub(super) nodes: Axis<NodeCount>,
    pub(super) config: Axis<ConfigName>,
}

/// `[[matrix.exclude]]`: a key that is not given matches every value.
#[derive(Debug)]
pub(super) struct Exclude {
    pub(super) span: SourceSpan,
    pub(super) kubernetes: Option<Located<KubernetesVersion>>,
    pub(super) nodes: Option<Located<NodeCount>>,
    pub(super) config: Option<Located<ConfigName>>,
}

/// `[[matrix.include]]`.
#[derive(Debug)]
pub(super) struct Include {
    pub(super) span: SourceSpan,
    pub(super) kubernetes: Located<KubernetesVersion>,
    pub(super) nodes: Located<NodeCount>,
    pub(super) config: Located<ConfigName>,
    pub(super) tags: Vec<String>,
    pub(super) allow_failure: Option<bool>,
}

/// The whole table.
#[derive(Debug)]
pub(super) struct MatrixTable {
    pub(super) span: SourceSpan,
    pub(super) axes: Axes,
    pub(super) excludes: Vec<Exclude>,
    pub(super) includes: Vec<Include>,
    /// Every include could be read, so what none of them names is not included.
    pub(super) includes_complete: bool,
}

impl MatrixTable {
    /// A table that the file does not have.
    pub(super) fn missing() -> Self {
        Self {
            span: (0..0).into(),
            axes: Axes::default(),
            excludes: Vec::new(),
            includes: Vec::new(),
            includes_complete: false,
        }
    }

    pub(super) fn read(table: &Table<'_>) -> Self {
        table.only(&["kubernetes", "nodes", "config", "exclude", "include"]);
        let axes = Axes {
            kubernetes: Axis::read(table, None),
            nodes: Axis::read(table, Some(NodeCount::default())),
            config: Axis::read(table, Some(ConfigName::default())),
        };
        let excludes = table.tables("exclude", "matrix.exclude");
        let includes = table.tables("include", "matrix.include");
        let read: Vec<_> = includes.iter().filter_map(include).collect();
        Self {
            span: table.span,
            axes,
            excludes: excludes.iter().filter_map(exclude).collect(),
            includes_complete: read.len() == includes.len(),
            includes: read,
        }
    }
}

fn exclude(table: &Table<'_>) -> Option<Exclude> {
    table.only(&["kubernetes", "nodes", "config"]);
    if table.entries().next().is_none() {
        table.report.add_missing(
            Problem::at(
                table.span,
                "this exclude names nothing, so it would match every cell",
                "",
            )
            .with_help("give it at least one of `kubernetes`, `nodes` and `config`"),
        );
        return None;
    }
    Some(Exclude {
        span: table.span,
        kubernetes: given(table)?,
        nodes: given(table)?,
        config: given(table)?,
    })
}

/// The value where the key is given; `None` where it is given and unusable.
#[expect(clippy::option_option, reason = "outer: usable, inner: given")]
fn given<T: AxisValue>(table: &Table<'_>) -> Option<Option<Located<T>>> {
    match table.get(T::KEY) {
        Some(entry) => T::read(entry).map(Some),
        None => Some(None),
    }
}

fn include(table: &Table<'_>) -> Option<Include> {
    table.only(&["kubernetes", "nodes", "config", "tags", "allow-failure"]);
    let (kubernetes, nodes, config) = (required(table), required(table), required(table));
    let tags = tags::read(table);
    let allow_failure = table.get("allow-failure").and_then(|entry| entry.boolean());
    Some(Include {
        span: table.span,
        kubernetes: kubernetes?,
        nodes: nodes?,
        config: config?,
        tags,
        allow_failure,
    })
}

fn required<T: AxisValue>(table: &Table<'_>) -> Option<Located<T>> {
    table.require(T::KEY, T::EXAMPLE).and_then(T::read)
}
