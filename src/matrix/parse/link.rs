//! Relations between tables: unknown names, and cells that would exist twice.
//!
//! References to something that couldn't be read aren't reported, because the first problem is enough.

use std::collections::{BTreeMap, BTreeSet};

use miette::SourceSpan;

use super::axes::{Axis, AxisValue, Exclude, Include, MatrixTable};
use super::expand::Point;
use super::reader::Located;
use super::report::Report;
use super::variants::{ValueTable, header};
use super::{Draft, expect};
use crate::matrix::ImageSource;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;
use crate::matrix::{CellId, ConfigName, ValueName};

/// The most cells that a matrix may have: more than anyone runs, and few enough for memory.
const MOST_CELLS: usize = 100_000;

pub(super) fn check(draft: &Draft, report: &Report<'_>) {
    let matrix = &draft.matrix;
    values_have_tables(draft, report);
    ids_are_unambiguous(matrix, report);
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
    ids_fit(matrix, &cells, report);
}

fn too_many(matrix: &MatrixTable) -> Problem {
    let message = format!("the axes multiply to more than {MOST_CELLS} cells");
    Problem::at(matrix.span, message, "")
        .with_help("remove values, or split the matrix into several files")
}

/// Another mock may report anything. What it lacks is found when it runs.
fn counters_are_reported(draft: &Draft, report: &Report<'_>) {
    if draft.images.mock.image == ImageSource::Reference {
        for table in draft.values.iter().flat_map(|values| &values.tables) {
            expect::known_to_the_reference_mock(&table.further, report);
        }
    }
}

/// The values of `config` and of the further axes, including those that only includes name, with the names of the axes.
fn values<'m>(matrix: &'m MatrixTable) -> Vec<(&'m str, Vec<Located<&'m str>>)> {
    let config = |name: &'m Located<ConfigName>| Located {
        value: name.value.as_str(),
        span: name.span,
    };
    let value = |name: &'m Located<ValueName>| Located {
        value: name.value.as_str(),
        span: name.span,
    };
    let includes = || matrix.includes.iter();
    let configs = matrix.axes.config.values.iter();
    let configs = configs.chain(includes().map(|include| &include.config));
    let further = matrix.axes.further.iter().enumerate();
    let further = further.map(|(index, further)| {
        let included = includes().filter_map(move |include| include.further.get(index));
        let values = further.axis.values.iter().chain(included);
        (further.name.as_str(), values.map(value).collect())
    });
    std::iter::once(("config", configs.map(config).collect()))
        .chain(further)
        .collect()
}

/// Every value needs its table, except for the config `default`.
fn values_have_tables(draft: &Draft, report: &Report<'_>) {
    for ((axis, values), tables) in values(&draft.matrix).into_iter().zip(&draft.values) {
        if !tables.complete {
            continue;
        }
        let without = (axis == "config").then_some("default");
        let names = tables.tables.iter().map(|table| &*table.name.value);
        let known: BTreeSet<&str> = names.chain(without).collect();
        for name in values {
            if known.contains(name.value) {
                continue;
            }
            let header = header(axis, name.value);
            let help = match nearest(name.value, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? Or add a table `{header}`"),
                None => format!("add a table `{header}`"),
            };
            let message = format!("the {axis} `{}` has no table", name.value);
            report.add(Problem::at(name.span, message, "").with_help(help));
        }
    }
}

/// In an id, a further axis starts where its name is between two `-`, so values must not contain that.
fn ids_are_unambiguous(matrix: &MatrixTable, report: &Report<'_>) {
    let further = || matrix.axes.further.iter().map(|axis| axis.name.as_str());
    for (_, values) in values(matrix) {
        for name in values {
            let mut axes = further();
            let Some(axis) = axes.find(|axis| name.value.split('-').any(|part| part == *axis))
            else {
                continue;
            };
            let message = format!(
                "`{}` has the name of the axis `{axis}` in it, so ids would be ambiguous",
                name.value
            );
            let help =
                "ids have a part `<axis>-<value>` for each axis: rename the value or the axis";
            report.add(Problem::at(name.span, message, "").with_help(help));
        }
    }
}

/// Ids name folders, so their length is limited.
fn ids_fit(matrix: &MatrixTable, cells: &BTreeSet<Point<'_>>, report: &Report<'_>) {
    if matrix.axes.further.is_empty() {
        return;
    }
    let included = matrix.includes.iter().map(Include::point);
    let points: Vec<_> = included.collect();
    let ids = cells
        .iter()
        .chain(&points)
        .map(|point| matrix.axes.id(point));
    let Some(longest) = ids.max_by_key(|id| id.as_str().len()) else {
        return;
    };
    let length = longest.as_str().len();
    if length > CellId::MAX {
        let message = format!(
            "the id of a cell would have {length} characters, more than {}: {longest}",
            CellId::MAX
        );
        let problem = Problem::at(matrix.span, message, "");
        report.add(problem.with_help("use shorter names for axes and values"));
    }
}

/// Every `[kubernetes."x"]`, `[config.x]` and `[<axis>.x]` must apply to a possible cell.
fn tables_have_values(draft: &Draft, report: &Report<'_>) {
    const LABEL: &str = "no cell has it";
    let (matrix, axes) = (&draft.matrix, &draft.matrix.axes);
    if !matrix.includes_complete {
        return;
    }
    let versions = draft.versions.tables.iter().map(|table| &table.version);
    let included = |include: &'_ Include| include.kubernetes.value;
    let included: BTreeSet<_> = matrix.includes.iter().map(included).collect();
    for version in versions.filter(|version| !included.contains(&version.value)) {
        on_axis(version, &axes.kubernetes, "kubernetes", LABEL, report);
    }
    for (index, (axis, values)) in values(matrix).into_iter().enumerate() {
        let has = |table: &&ValueTable| values.iter().any(|value| value.value == table.name.value);
        let tables = draft.values[index].tables.iter();
        for table in tables.filter(|table| !has(table)) {
            let (text, span) = (&table.name.value, table.name.span);
            if let (0, Ok(value)) = (index, ConfigName::parse(text)) {
                on_axis(&Located { value, span }, &axes.config, axis, LABEL, report);
            } else if let (1.., Ok(value)) = (index, ValueName::parse(text)) {
                let further = &axes.further[index - 1].axis;
                on_axis(&Located { value, span }, further, axis, LABEL, report);
            }
        }
    }
}

/// Reports a value that isn't on its axis. Returns whether it is.
fn on_axis<T: AxisValue>(
    value: &Located<T>,
    axis: &Axis<T>,
    name: &str,
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
    let message = format!("`{}` is not on the axis `{name}`", value.value);
    report.add(Problem::at(value.span, message, label).with_help(help));
    false
}

/// Reports excludes that exclude nothing. Returns the remaining cells.
fn excludes_match<'m>(matrix: &'m MatrixTable, report: &Report<'_>) -> BTreeSet<Point<'m>> {
    let mut remaining: Vec<Point<'m>> = matrix.axes.points();
    for exclude in &matrix.excludes {
        if !names_known_values(exclude, matrix, report) {
            continue;
        }
        let before = remaining.len();
        remaining.retain(|point| !exclude.matches(point));
        if remaining.len() == before {
            report.add(
                Problem::at(exclude.span, "this exclude matches no cell", "").with_help(
                    "earlier excludes already exclude all cells that it matches: remove it",
                ),
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
    let mut known = vec![
        kubernetes
            .is_none_or(|value| on_axis(value, &axes.kubernetes, "kubernetes", LABEL, report)),
        nodes.is_none_or(|value| on_axis(value, &axes.nodes, "nodes", LABEL, report)),
        config.is_none_or(|value| on_axis(value, &axes.config, "config", LABEL, report)),
    ];
    for (further, value) in axes.further.iter().zip(&exclude.further) {
        let name = further.name.as_str();
        let value = value.as_ref();
        known.push(value.is_none_or(|value| on_axis(value, &further.axis, name, LABEL, report)));
    }
    known.into_iter().all(|known| known)
}

/// Reports includes that name an existing cell without changing it, or that name the same cell.
fn includes_add(matrix: &MatrixTable, cells: &BTreeSet<Point<'_>>, report: &Report<'_>) {
    let mut seen: BTreeMap<Point<'_>, SourceSpan> = BTreeMap::new();
    for include in &matrix.includes {
        let point = include.point();
        let id = matrix.axes.id(&point);
        let exists = cells.contains(&point);
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
        } else if exists && !include.changes_the_cell() {
            report.add(
                Problem::at(include.span, format!("two cells with the id `{id}`"), "")
                    .with_help("the axes already contain this cell: remove the include, or give it `tags` or `allow-failure`"),
            );
        }
    }
}
