//! Reports names in a filter that don't exist in the matrix, and suggests similar ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Filter;
use super::expression::{Leaf, Test, parts, values};
use super::pattern::Pattern;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;
use crate::matrix::{Cell, Coordinate};

/// The fields of comparisons. Each further axis is also a field.
const FIELDS: [&str; 5] = ["k8s", "kubernetes", "nodes", "config", "tag"];

/// The problems in one filter. There are none if the matrix has no cells.
pub(super) fn unknown(filter: &Filter, cells: &[Cell]) -> Vec<Problem> {
    if cells.is_empty() {
        return Vec::new();
    }
    let leaves = filter.expression.leaves().into_iter();
    let unknown = leaves.filter(|leaf| !cells.iter().any(|cell| leaf.test.is_known_by(cell)));
    let problems = unknown.map(|leaf| problem(leaf, cells).in_filter(Arc::clone(&filter.source)));
    problems.collect()
}

fn problem(leaf: &Leaf, cells: &[Cell]) -> Problem {
    let (message, help) = match &leaf.test {
        Test::Name(pattern) => (
            format!("`{}` matches nothing in the matrix", pattern.as_str()),
            help_for_term(pattern, cells),
        ),
        Test::Kubernetes(_, version) => (
            format!("no cell has Kubernetes {version}"),
            near(&version.to_string(), &versions(cells), "versions"),
        ),
        Test::Nodes(_, count) => (
            format!("no cell has the node count {count}"),
            near(&count.to_string(), &node_counts(cells), "node counts"),
        ),
        Test::Field(field, pattern) => {
            let further = axes(cells);
            let what = match field.as_str() {
                "config" => "configs",
                "tag" => "tags",
                axis if further.iter().any(|own| own == axis) => "values",
                unknown => {
                    let known = FIELDS.map(str::to_owned).into_iter().chain(further);
                    let help = near(unknown, &sorted(known), "fields");
                    let message = format!("`{unknown}` is not a field");
                    return Problem::at(leaf.start, message, help);
                }
            };
            let message = format!("no cell has the {field} `{}`", pattern.as_str());
            (message, near(pattern.as_str(), &known(field, cells), what))
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

/// The names, sorted and without duplicates.
fn sorted<T: Ord + ToString>(names: impl Iterator<Item = T>) -> Vec<String> {
    let names: BTreeSet<T> = names.collect();
    names.iter().map(ToString::to_string).collect()
}

fn versions(cells: &[Cell]) -> Vec<String> {
    sorted(cells.iter().map(|cell| cell.kubernetes))
}

fn node_counts(cells: &[Cell]) -> Vec<String> {
    sorted(cells.iter().map(|cell| cell.nodes))
}

/// The names of the further axes.
fn axes(cells: &[Cell]) -> Vec<String> {
    let axes = cells.iter().flat_map(|cell| &cell.axes);
    sorted(axes.map(Coordinate::axis))
}

/// The values of a field without an order.
fn known(field: &str, cells: &[Cell]) -> Vec<String> {
    sorted(cells.iter().flat_map(|cell| values(cell, field)))
}

fn help_for_term(pattern: &Pattern, cells: &[Cell]) -> String {
    let mut lines: Vec<String> = suggestion(pattern, cells).into_iter().collect();
    lines.push(listed("versions", "k8s-", &versions(cells)));
    lines.push(listed("node counts", "n", &node_counts(cells)));
    lines.push(listed("configs", "", &known("config", cells)));
    for axis in axes(cells) {
        lines.push(listed(&axis, &format!("{axis}-"), &known(&axis, cells)));
    }
    lines.join("\n")
}

/// A suggestion of what an unknown term probably means.
fn suggestion(pattern: &Pattern, cells: &[Cell]) -> Option<String> {
    let term = pattern.as_str();
    let word = term.to_owned();
    if pattern.is_wild() {
        return Some("a term matches a whole part of an id, or a whole id".to_owned());
    }
    if versions(cells).contains(&word) {
        return Some(format!("in ids, this version is `k8s-{word}`"));
    }
    if node_counts(cells).contains(&word) {
        return Some(format!("in ids, this node count is `n{word}`"));
    }
    if known("tag", cells).contains(&word) {
        return Some(format!("it is a tag: `tag = {word}`"));
    }
    let mut ids = cells.iter().map(|cell| cell.id.as_str());
    if ids.any(|id| id.starts_with(&format!("{word}-"))) {
        return Some(format!("it is the start of an id: `{word}-*`"));
    }
    let mut axes = axes(cells).into_iter();
    if let Some(axis) = axes.find(|axis| known(axis, cells).contains(&word)) {
        return Some(format!(
            "in ids, this value of the axis `{axis}` is `{axis}-{word}`"
        ));
    }
    let parts = cells.iter().flat_map(parts);
    let ids = cells.iter().map(|cell| cell.id.as_str());
    let near = nearest(term, parts.chain(ids));
    near.map(|near| format!("did you mean `{near}`?"))
}
