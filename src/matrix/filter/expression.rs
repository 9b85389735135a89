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
    Config(Equality, Pattern),
    Tag(Equality, Pattern),
    /// A comparison with a further axis: the name of the axis, and a pattern for the value.
    Axis(String, Equality, Pattern),
}

/// Comparisons of ordered values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operator {
    Is(Equality),
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Comparisons of values without an order.
#[derive(Clone, Copy, Debug)]
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
            Self::Name(_) => self.is_known_by(cell),
            Self::Kubernetes(operator, version) => operator.holds(cell.kubernetes.cmp(version)),
            Self::Nodes(operator, count) => {
                operator.holds(cell.nodes.get().cmp(&(*count as usize)))
            }
            Self::Config(equality, _) | Self::Tag(equality, _) | Self::Axis(_, equality, _) => {
                equality.holds(self.is_known_by(cell))
            }
        }
    }

    /// Whether `cell` has the name in the test, which proves that the name exists in the matrix. An ordered comparison,
    /// such as `nodes > 1`, contains no name, so the result is `true`.
    pub(super) fn is_known_by(&self, cell: &Cell) -> bool {
        match self {
            Self::Name(pattern) => {
                pattern.matches(cell.id.as_str()) || parts(cell).any(|part| pattern.matches(part))
            }
            Self::Kubernetes(Operator::Is(_), version) => cell.kubernetes == *version,
            Self::Nodes(Operator::Is(_), count) => cell.nodes.get() == *count as usize,
            Self::Kubernetes(_, _) | Self::Nodes(_, _) => true,
            Self::Config(_, pattern) => pattern.matches(cell.config.as_str()),
            Self::Tag(_, pattern) => cell.tags.iter().any(|tag| pattern.matches(tag)),
            Self::Axis(axis, _, pattern) => {
                let mut axes = cell.axes.iter();
                axes.any(|own| own.axis() == axis && pattern.matches(own.value()))
            }
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
