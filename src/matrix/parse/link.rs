//! What the tables say about each other: names that nobody else knows, and cells that would be there twice.
//!
//! Where something could not be read, nothing is said about what refers to it: the first problem is enough.

use std::collections::{BTreeMap, BTreeSet};

use miette::SourceSpan;

use super::axes::{Axis, AxisValue, Exclude, Include, MatrixTable};
use super::expand::Point;
use super::reader::Located;
use super::report::Report;
use super::{Draft, expect};
use crate::matrix::ImageSource;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;

/// The most cells a matrix may have: more than any farm runs, few enough to hold.
const MOST_CELLS: usize = 100_000;

pub(super) fn check(draft: &Draft, report: &Report<'_>) {
    let matrix = &draft.matrix;
    configs_have_tables(draft, report);
    tables_have_values(draft, report);
    counters_are_reported(draft, report);
    if !matrix.axes.are_complete() {
        return;
    }
    if matrix.axes.size() > MOST_CELLS {
        report.add(too_many(matrix));
        return;
    }
    let cells = excludes_match(matrix, report);
    includes_add(matrix, &cells, report);
}

fn too_many(matrix: &MatrixTable) -> Problem {
    let message = format!("the axes multiply to more than {MOST_CELLS} cells");
    Problem::at(matrix.span, message, "")
        .with_help("remove values, or split the matrix into several files")
}

/// A mock of the user's own may report anything; what it lacks is found out when it runs.
fn counters_are_reported(draft: &Draft, report: &Report<'_>) {
    if draft.images.mock.image == ImageSource::Reference {
        for table in &draft.variants.tables {
            expect::known_to_the_reference_mock(&table.further, report);
        }
    }
}

/// Every config value but `default` needs its table.
fn configs_have_tables(draft: &Draft, report: &Report<'_>) {
    if !draft.variants.complete {
        return;
    }
    let tables = || {
        draft
            .variants
            .tables
            .iter()
            .map(|table| table.variant.name.as_str())
    };
    let known: BTreeSet<&str> = tables().chain(["default"]).collect();
    let axis = draft.matrix.axes.config.values.iter();
    let included = draft.matrix.includes.iter().map(|include| &include.config);
    for name in axis.chain(included) {
        if known.contains(name.value.as_str()) {
            continue;
        }
        let help = match nearest(name.value.as_str(), known.iter().copied()) {
            Some(near) => format!(
                "did you mean `{near}`? Or add a table `[config.{}]`",
                name.value
            ),
            None => format!("add a table `[config.{}]`", name.value),
        };
        let message = format!("the config `{}` has no table", name.value);
        report.add(Problem::at(name.span, message, "").with_help(help));
    }
}

/// Every `[kubernetes."x"]` and `[config.x]` must reach a cell that can be.
fn tables_have_values(draft: &Draft, report: &Report<'_>) {
    let matrix = &draft.matrix;
    if !matrix.includes_complete {
        return;
    }
    let versions = draft.versions.tables.iter().map(|table| &table.version);
    let included = |include: &'_ Include| include.kubernetes.value;
    let included: BTreeSet<_> = matrix.includes.iter().map(included).collect();
    for version in versions.filter(|version| !included.contains(&version.value)) {
        on_axis(version, &matrix.axes.kubernetes, "no cell has it", report);
    }
    let included: BTreeSet<_> = matrix
        .includes
        .iter()
        .map(|include| &include.config.value)
        .collect();
    for table in &draft.variants.tables {
        if !included.contains(&table.variant.name) {
            let name = Located {
                value: table.variant.name.clone(),
                span: table.span,
            };
            on_axis(&name, &matrix.axes.config, "no cell has it", report);
        }
    }
}

/// Reports a value that its axis does not have. Gives whether the axis has it.
fn on_axis<T: AxisValue>(
    value: &Located<T>,
    axis: &Axis<T>,
    label: &str,
    report: &Report<'_>,
) -> bool {
    let known = axis.find(&value.value).is_some();
    if known || !axis.complete {
        return known;
    }
    let names: Vec<String> = axis
        .values
        .iter()
        .map(|known| known.value.to_string())
        .collect();
    let names = || names.iter().map(String::as_str);
    let help = match nearest(&value.value.to_string(), names()) {
        Some(near) => format!("did you mean `{near}`? On the axis: {}", quoted(names())),
        None => format!("on the axis: {}", quoted(names())),
    };
    let message = format!("`{}` is not on the axis `{}`", value.value, T::KEY);
    report.add(Problem::at(value.span, message, label).with_help(help));
    false
}

/// Reports excludes that take nothing away. Gives the cells that remain.
fn excludes_match<'m>(matrix: &'m MatrixTable, report: &Report<'_>) -> BTreeSet<Point<'m>> {
    let mut remaining: Vec<Point<'m>> = matrix.axes.points().collect();
    for exclude in &matrix.excludes {
        if !names_known_values(exclude, matrix, report) {
            continue;
        }
        let before = remaining.len();
        remaining.retain(|point| !exclude.matches(point));
        if remaining.len() == before {
            report.add(
                Problem::at(exclude.span, "this exclude matches no cell", "")
                    .with_help("nothing is left for it to take away: remove it"),
            );
        }
    }
    remaining.into_iter().collect()
}

fn names_known_values(exclude: &Exclude, matrix: &MatrixTable, report: &Report<'_>) -> bool {
    const LABEL: &str = "so this exclude matches nothing";
    let axes = &matrix.axes;
    let kubernetes = exclude.kubernetes.as_ref();
    let nodes = exclude.nodes.as_ref();
    let config = exclude.config.as_ref();
    let known = [
        kubernetes.is_none_or(|value| on_axis(value, &axes.kubernetes, LABEL, report)),
        nodes.is_none_or(|value| on_axis(value, &axes.nodes, LABEL, report)),
        config.is_none_or(|value| on_axis(value, &axes.config, LABEL, report)),
    ];
    known.into_iter().all(|known| known)
}

/// Reports includes that name a cell which is there already, without changing it, or which two of them name.
fn includes_add(matrix: &MatrixTable, cells: &BTreeSet<Point<'_>>, report: &Report<'_>) {
    let mut seen: BTreeMap<Point<'_>, SourceSpan> = BTreeMap::new();
    for include in &matrix.includes {
        let point = include.point();
        let id = point.id();
        if let Some(first) = seen.insert(point, include.span) {
            report.add(
                Problem::at(
                    include.span,
                    format!("the cell `{id}` is included twice"),
                    "again",
                )
                .and_at(first, "first here")
                .with_help("join the two"),
            );
        } else if cells.contains(&point) && !include.changes_the_cell() {
            report.add(
                Problem::at(include.span, format!("two cells with the id `{id}`"), "")
                    .with_help("the axes make this cell already: remove the include, or give it `tags` or `allow-failure`"),
            );
        }
    }
}
