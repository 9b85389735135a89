//! A filter as a tree, with evaluation.

use std::cmp::Ordering;

use miette::SourceSpan;

use super::pattern::Pattern;
use crate::matrix::{Cell, Coordinate, KubernetesVersion};

/// A filter, or a part of one.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    Leaf(Leaf),
    Not(Box<Self>),
    /// At least two.
    All(Vec<Self>),
    /// At least two.
    Any(Vec<Self>),
}

/// A term or a comparison.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) test: Test,
    /// The place of the term, or of the value in a comparison.
    pub(super) span: SourceSpan,
    /// The place of the first word.
    pub(super) start: SourceSpan,
}

/// The test of a leaf.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// A pattern for a part of the id, or for the whole id.
    Name(Pattern),
    Kubernetes(Operator, KubernetesVersion),
    Nodes(Operator, u32),
    /// Equality with `config`, `tag` or a further axis: the name of the field, and a pattern for its value.
    Field(String, Pattern),
}

/// Comparisons. The parser turns `!=` into [`Expression::Not`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Less,
    AtMost,
    Greater,
    AtLeast,
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

    /// All leaves from left to right.
    pub(super) fn leaves(&self) -> Vec<&Leaf> {
        match self {
            Self::Leaf(leaf) => vec![leaf],
            Self::Not(inner) => inner.leaves(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::leaves).collect(),
        }
    }
}

impl Test {
    fn matches(&self, cell: &Cell) -> bool {
        match self {
            Self::Name(pattern) => {
                pattern.matches(cell.id.as_str()) || parts(cell).any(|part| pattern.matches(part))
            }
            Self::Kubernetes(operator, version) => operator.holds(cell.kubernetes.cmp(version)),
            Self::Nodes(operator, count) => {
                operator.holds(cell.nodes.get().cmp(&(*count as usize)))
            }
            Self::Field(field, pattern) => {
                let mut values = values(cell, field).into_iter();
                values.any(|value| pattern.matches(value))
            }
        }
    }

    /// Whether `cell` has the name in the test, which proves that the name exists in the matrix. An ordered comparison,
    /// such as `nodes > 1`, contains no name, so the result is `true`.
    pub(super) fn is_known_by(&self, cell: &Cell) -> bool {
        let has_name = match self {
            Self::Kubernetes(operator, _) | Self::Nodes(operator, _) => {
                *operator == Operator::Equal
            }
            Self::Name(_) | Self::Field(..) => true,
        };
        !has_name || self.matches(cell)
    }
}

/// The cell's values of a field without an order: `config`, `tag`, or a further axis.
pub(super) fn values<'c>(cell: &'c Cell, field: &str) -> Vec<&'c str> {
    match field {
        "config" => vec![cell.config.as_str()],
        "tag" => cell.tags.iter().map(String::as_str).collect(),
        axis => {
            let axes = cell.axes.iter().filter(|own| own.axis() == axis);
            axes.map(Coordinate::value).collect()
        }
    }
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
    /// The operator with this sign. `!=` is the negation of its operator.
    pub(super) fn from_sign(sign: &str) -> Option<Self> {
        match sign {
            "=" | "==" | "!=" => Some(Self::Equal),
            "<" => Some(Self::Less),
            "<=" => Some(Self::AtMost),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::AtLeast),
            _ => None,
        }
    }

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}
