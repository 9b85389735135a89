//! Reports names in a filter that the matrix doesn't have, with suggestions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::FilterProblem;
use super::expression::{Expression, Leaf, Test, parts};
use super::pattern::Pattern;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;
use crate::matrix::{Cell, ConfigName, KubernetesVersion, NodeCount};

/// The fields of comparisons, in addition to further axes.
const FIELDS: [&str; 5] = ["k8s", "kubernetes", "nodes", "config", "tag"];

/// The problems of one filter; none if there are no cells.
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
            format!("no cell has {count} nodes"),
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
                let help = near(axis, &fields.collect(), "fields");
                return Problem::at(leaf.start, message, "").with_help(help);
            };
            let message = format!("no cell has the {axis} `{}`", pattern.as_str());
            (message, near(pattern.as_str(), values, "values"))
        }
    };
    Problem::at(leaf.span, message, "").with_help(help)
}

/// A suggestion if a known name is similar, followed by the list of known names.
fn near<T: ToString>(word: &str, known: &BTreeSet<T>, what: &str) -> String {
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let list = listed(what, &known);
    match nearest(word, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?\n{list}"),
        None => list,
    }
}

fn listed(what: &str, known: &[String]) -> String {
    if known.is_empty() {
        format!("there are no {what}")
    } else {
        format!("{what}: {}", quoted(known))
    }
}

/// The names in a matrix.
struct KnownNames<'m> {
    versions: BTreeSet<KubernetesVersion>,
    nodes: BTreeSet<NodeCount>,
    configs: BTreeSet<&'m ConfigName>,
    tags: BTreeSet<&'m String>,
    /// The values of each further axis.
    axes: BTreeMap<&'m str, BTreeSet<&'m str>>,
}

impl<'m> KnownNames<'m> {
    fn of(cells: &'m [Cell]) -> Self {
        let mut axes: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for own in cells.iter().flat_map(|cell| &cell.axes) {
            axes.entry(own.axis()).or_default().insert(own.value());
        }
        Self {
            versions: cells.iter().map(|cell| cell.kubernetes).collect(),
            nodes: cells.iter().map(|cell| cell.nodes).collect(),
            configs: cells.iter().map(|cell| &cell.config).collect(),
            tags: cells.iter().flat_map(|cell| &cell.tags).collect(),
            axes,
        }
    }

    fn help_for_term(&self, pattern: &Pattern, cells: &[Cell]) -> String {
        let mut lines: Vec<String> = self.suggestion(pattern, cells).into_iter().collect();
        lines.extend(self.lists());
        lines.join("\n")
    }

    /// A hint about what was probably meant by an unknown term.
    fn suggestion(&self, pattern: &Pattern, cells: &[Cell]) -> Option<String> {
        let word = pattern.as_str();
        if pattern.is_wild() {
            return Some("a term matches a whole part of an id, or a whole id".to_owned());
        }
        if self
            .versions
            .iter()
            .any(|version| version.to_string() == word)
        {
            return Some(format!("in ids, this version is `k8s-{word}`"));
        }
        if self.nodes.iter().any(|nodes| nodes.to_string() == word) {
            return Some(format!("in ids, this node count is `n{word}`"));
        }
        if self.tags.iter().any(|tag| *tag == word) {
            return Some(format!("it is a tag: `tag = {word}`"));
        }
        let start = format!("{word}-");
        if cells
            .iter()
            .any(|cell| cell.id.as_str().starts_with(&start))
        {
            return Some(format!("it is the start of an id: `{word}-*`"));
        }
        for (axis, values) in &self.axes {
            if values.contains(word) {
                return Some(format!(
                    "in ids, this value of the axis `{axis}` is `{axis}-{word}`"
                ));
            }
        }
        let parts = cells.iter().flat_map(parts);
        let ids = cells.iter().map(|cell| cell.id.as_str());
        let near = nearest(word, parts.chain(ids));
        near.map(|near| format!("did you mean `{near}`?"))
    }

    fn lists(&self) -> Vec<String> {
        let versions: Vec<_> = self
            .versions
            .iter()
            .map(|version| format!("k8s-{version}"))
            .collect();
        let nodes: Vec<_> = self.nodes.iter().map(|nodes| format!("n{nodes}")).collect();
        let configs: Vec<_> = self.configs.iter().map(ToString::to_string).collect();
        let mut lists = vec![
            listed("versions", &versions),
            listed("node counts", &nodes),
            listed("configs", &configs),
        ];
        for (axis, values) in &self.axes {
            let parts: Vec<_> = values
                .iter()
                .map(|value| format!("{axis}-{value}"))
                .collect();
            lists.push(listed(axis, &parts));
        }
        lists
    }
}
