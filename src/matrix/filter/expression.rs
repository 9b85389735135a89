//! A filter as a tree, with evaluation and formatting.

use std::cmp::Ordering;
use std::fmt;

use miette::SourceSpan;

use super::pattern::Pattern;
use super::words::{KEYWORDS, is_word_character};
use crate::matrix::{Cell, Coordinate, KubernetesVersion};

/// A filter, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Leaf(Leaf),
    Not(Box<Self>),
    /// At least two.
    All(Vec<Self>),
    /// At least two.
    Any(Vec<Self>),
}

/// A term or comparison.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) test: Test,
    /// Where the name is in the text.
    pub(super) span: SourceSpan,
    /// Where the first word is in the text.
    pub(super) start: SourceSpan,
}

/// Equality ignores the places.
impl PartialEq for Leaf {
    fn eq(&self, other: &Self) -> bool {
        self.test == other.test
    }
}

/// The test of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// A part of the id, or the whole id.
    Name(Pattern),
    Kubernetes(Operator, KubernetesVersion),
    Nodes(Operator, u32),
    Config(Equality, Pattern),
    Tag(Equality, Pattern),
    /// A further axis, by its name.
    Axis(String, Equality, Pattern),
}

/// Comparisons of ordered values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Is(Equality),
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Comparisons of values without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Equality {
    Equal,
    Different,
}

impl Expression {
    pub(super) fn matches(&self, cell: &Cell) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.test.matches(cell),
            Self::Not(inner) => !inner.matches(cell),
            Self::All(parts) => parts.iter().all(|part| part.matches(cell)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(cell)),
        }
    }

    /// Calls `visit` for every leaf from left to right.
    pub(super) fn visit_leaves<'e>(&'e self, visit: &mut impl FnMut(&'e Leaf)) {
        match self {
            Self::Leaf(leaf) => visit(leaf),
            Self::Not(inner) => inner.visit_leaves(visit),
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.visit_leaves(visit);
                }
            }
        }
    }
}

impl Test {
    fn matches(&self, cell: &Cell) -> bool {
        match self {
            Self::Name(pattern) => names(pattern, cell),
            Self::Kubernetes(operator, version) => operator.holds(cell.kubernetes.cmp(version)),
            Self::Nodes(operator, count) => {
                operator.holds(cell.nodes.get().cmp(&(*count as usize)))
            }
            Self::Config(equality, pattern) => {
                equality.holds(pattern.matches(cell.config.as_str()))
            }
            Self::Tag(equality, pattern) => {
                equality.holds(cell.tags.iter().any(|tag| pattern.matches(tag)))
            }
            Self::Axis(axis, equality, pattern) => equality.holds(is_at(cell, axis, pattern)),
        }
    }

    /// Whether the cell proves that the name in the test exists. A comparison of ordered values contains no name.
    pub(super) fn is_known_by(&self, cell: &Cell) -> bool {
        match self {
            Self::Name(pattern) => names(pattern, cell),
            Self::Kubernetes(Operator::Is(_), version) => cell.kubernetes == *version,
            Self::Nodes(Operator::Is(_), count) => cell.nodes.get() == *count as usize,
            Self::Kubernetes(_, _) | Self::Nodes(_, _) => true,
            Self::Config(_, pattern) => pattern.matches(cell.config.as_str()),
            Self::Tag(_, pattern) => cell.tags.iter().any(|tag| pattern.matches(tag)),
            Self::Axis(axis, _, pattern) => is_at(cell, axis, pattern),
        }
    }
}

/// Whether the cell's value on this axis matches the pattern.
fn is_at(cell: &Cell, axis: &str, pattern: &Pattern) -> bool {
    let mut axes = cell.axes.iter();
    axes.any(|place| place.axis() == axis && pattern.matches(place.value()))
}

/// Whether the pattern matches a whole part of the cell's id, or the whole id.
fn names(pattern: &Pattern, cell: &Cell) -> bool {
    pattern.matches(cell.id.as_str()) || parts(cell).any(|part| pattern.matches(part))
}

/// The parts of a cell's id: `k8s-1.30`, `n3`, `fast`, `agent-1.4`.
pub(super) fn parts(cell: &Cell) -> impl Iterator<Item = &str> {
    let mut dashes = cell.id.as_str().match_indices('-').map(|(at, _)| at);
    let ends = dashes.nth(1).zip(dashes.next());
    let (version, nodes) = ends.map_or(("", ""), |(version, nodes)| {
        let id = cell.id.as_str();
        (&id[..version], &id[version + 1..nodes])
    });
    let further = cell.axes.iter().map(Coordinate::as_str);
    [version, nodes, cell.config.as_str()]
        .into_iter()
        .chain(further)
}

impl Operator {
    /// Whether the operator needs ordered values.
    pub(super) fn is_order(self) -> bool {
        !matches!(self, Self::Is(_))
    }

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Is(equality) => equality.holds(ordering.is_eq()),
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

impl Equality {
    fn holds(self, equal: bool) -> bool {
        match self {
            Self::Equal => equal,
            Self::Different => !equal,
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(leaf) => leaf.test.fmt(formatter),
            Self::Not(inner) => {
                formatter.write_str("not ")?;
                inner.fmt_inside(formatter, matches!(**inner, Self::All(_) | Self::Any(_)))
            }
            Self::All(parts) => joined(formatter, parts, " and ", |part| {
                matches!(part, Self::All(_) | Self::Any(_))
            }),
            Self::Any(parts) => joined(formatter, parts, " or ", |part| {
                matches!(part, Self::Any(_))
            }),
        }
    }
}

fn joined(
    formatter: &mut fmt::Formatter<'_>,
    parts: &[Expression],
    word: &str,
    needs_parentheses: impl Fn(&Expression) -> bool,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            formatter.write_str(word)?;
        }
        part.fmt_inside(formatter, needs_parentheses(part))?;
    }
    Ok(())
}

impl Expression {
    fn fmt_inside(&self, formatter: &mut fmt::Formatter<'_>, parentheses: bool) -> fmt::Result {
        if parentheses {
            write!(formatter, "({self})")
        } else {
            fmt::Display::fmt(self, formatter)
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => pattern.fmt(formatter),
            Self::Kubernetes(operator, version) => write!(formatter, "k8s {operator} {version}"),
            Self::Nodes(operator, count) => write!(formatter, "nodes {operator} {count}"),
            Self::Config(equality, pattern) => write!(formatter, "config {equality} {pattern}"),
            Self::Tag(equality, pattern) => write!(formatter, "tag {equality} {pattern}"),
            Self::Axis(axis, equality, pattern) => write!(formatter, "{axis} {equality} {pattern}"),
        }
    }
}

/// Without quotes if the text is a bare word.
impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.as_str();
        if text.chars().all(is_word_character) && !KEYWORDS.contains(&text) {
            formatter.write_str(text)
        } else if text.contains('"') {
            write!(formatter, "'{text}'")
        } else {
            write!(formatter, "\"{text}\"")
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Is(equality) => return equality.fmt(formatter),
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

impl fmt::Display for Equality {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Equal => "=",
            Self::Different => "!=",
        })
    }
}
