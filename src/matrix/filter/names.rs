//! Reports names in a filter that don't exist in the matrix, and suggests similar ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::FilterProblem;
use super::expression::{Expression, Leaf, Test, parts};
use super::pattern::Pattern;
use crate::matrix::Cell;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;

/// The fields of comparisons. Each further axis is also a field.
const FIELDS: [&str; 5] = ["k8s", "kubernetes", "nodes", "config", "tag"];

/// The problems in one filter. There are none if the matrix has no cells.
pub(super) fn unknown(
    source: &Arc<str>,
    expression: &Expression,
    cells: &[Cell],
) -> Vec<FilterProblem> {
    let mut problems = Vec::new();
    if cells.is_empty() {
        return problems;
    }
    expression.visit_leaves(&mut |leaf| {
        if !cells.iter().any(|cell| leaf.test.is_known_by(cell)) {
            problems.push(FilterProblem::new(Arc::clone(source), problem(leaf, cells)));
        }
    });
    problems
}

fn problem(leaf: &Leaf, cells: &[Cell]) -> Problem {
    let known = KnownNames::of(cells);
    let (message, help) = match &leaf.test {
        Test::Name(pattern) => (
            format!("`{}` matches nothing in the matrix", pattern.as_str()),
            known.help_for_term(pattern, cells),
        ),
        Test::Kubernetes(_, version) => (
            format!("no cell has Kubernetes {version}"),
            near(&version.to_string(), &known.versions, "versions"),
        ),
        Test::Nodes(_, count) => (
            format!("no cell has the node count {count}"),
            near(&count.to_string(), &known.nodes, "node counts"),
        ),
        Test::Config(_, pattern) => (
            format!("no cell has the config `{}`", pattern.as_str()),
            near(pattern.as_str(), &known.configs, "configs"),
        ),
        Test::Tag(_, pattern) => (
            format!("no cell has the tag `{}`", pattern.as_str()),
            near(pattern.as_str(), &known.tags, "tags"),
        ),
        Test::Axis(axis, _, pattern) => {
            let Some(values) = known.axes.get(axis.as_str()) else {
                let message = format!("`{axis}` is not a field");
                let fields = FIELDS.into_iter().chain(known.axes.keys().copied());
                let help = near(axis, &sorted(fields), "fields");
                return Problem::at(leaf.start, message, help);
            };
            let message = format!("no cell has the {axis} `{}`", pattern.as_str());
            (message, near(pattern.as_str(), values, "values"))
        }
    };
    Problem::at(leaf.span, message, help)
}

/// A suggestion if a known name is similar to `word`, followed by the list of known names.
fn near(word: &str, known: &[String], what: &str) -> String {
    let list = listed(what, "", known);
    match nearest(word, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?\n{list}"),
        None => list,
    }
}

/// The list of known names, each preceded by `prefix`.
fn listed(what: &str, prefix: &str, known: &[String]) -> String {
    if known.is_empty() {
        return format!("there are no {what}");
    }
    let names = known.iter().map(|name| format!("{prefix}{name}"));
    format!("{what}: {}", quoted(names))
}

/// The names in a matrix, sorted.
struct KnownNames<'m> {
    versions: Vec<String>,
    nodes: Vec<String>,
    configs: Vec<String>,
    tags: Vec<String>,
    /// The values of each further axis.
    axes: BTreeMap<&'m str, Vec<String>>,
}

/// The names, sorted and without duplicates.
fn sorted<T: Ord + ToString>(names: impl Iterator<Item = T>) -> Vec<String> {
    let names: BTreeSet<T> = names.collect();
    names.iter().map(ToString::to_string).collect()
}

impl<'m> KnownNames<'m> {
    fn of(cells: &'m [Cell]) -> Self {
        let mut axes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for own in cells.iter().flat_map(|cell| &cell.axes) {
            axes.entry(own.axis()).or_default().push(own.value());
        }
        let axes = axes.into_iter();
        Self {
            versions: sorted(cells.iter().map(|cell| cell.kubernetes)),
            nodes: sorted(cells.iter().map(|cell| cell.nodes)),
            configs: sorted(cells.iter().map(|cell| &cell.config)),
            tags: sorted(cells.iter().flat_map(|cell| &cell.tags)),
            axes: axes
                .map(|(axis, values)| (axis, sorted(values.into_iter())))
                .collect(),
        }
    }

    fn help_for_term(&self, pattern: &Pattern, cells: &[Cell]) -> String {
        let mut lines: Vec<String> = self.suggestion(pattern, cells).into_iter().collect();
        lines.push(listed("versions", "k8s-", &self.versions));
        lines.push(listed("node counts", "n", &self.nodes));
        lines.push(listed("configs", "", &self.configs));
        for (axis, values) in &self.axes {
            lines.push(listed(axis, &format!("{axis}-"), values));
        }
        lines.join("\n")
    }

    /// A suggestion of what an unknown term probably means.
    fn suggestion(&self, pattern: &Pattern, cells: &[Cell]) -> Option<String> {
        let word = pattern.as_str();
        let is_in = |names: &[String]| names.iter().any(|name| name == word);
        if pattern.is_wild() {
            return Some("a term matches a whole part of an id, or a whole id".to_owned());
        }
        if is_in(&self.versions) {
            return Some(format!("in ids, this version is `k8s-{word}`"));
        }
        if is_in(&self.nodes) {
            return Some(format!("in ids, this node count is `n{word}`"));
        }
        if is_in(&self.tags) {
            return Some(format!("it is a tag: `tag = {word}`"));
        }
        let mut ids = cells.iter().map(|cell| cell.id.as_str());
        if ids.any(|id| id.starts_with(&format!("{word}-"))) {
            return Some(format!("it is the start of an id: `{word}-*`"));
        }
        if let Some((axis, _)) = self.axes.iter().find(|(_, values)| is_in(values)) {
            return Some(format!(
                "in ids, this value of the axis `{axis}` is `{axis}-{word}`"
            ));
        }
        let parts = cells.iter().flat_map(parts);
        let ids = cells.iter().map(|cell| cell.id.as_str());
        let near = nearest(word, parts.chain(ids));
        near.map(|near| format!("did you mean `{near}`?"))
    }
}
