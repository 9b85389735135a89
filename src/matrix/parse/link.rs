//! Checks the relations between tables. For example, names must exist, and no cell may exist twice.
//!
//! A reference to something that couldn't be read isn't reported, because the original problem is reported already.

use std::collections::{BTreeMap, BTreeSet};

use miette::SourceSpan;

use super::axes::{AxisValue, Combination, FIXED, MatrixTable, Values};
use super::expand::Point;
use super::reader::Located;
use super::report::Report;
use super::variants::header;
use super::{Draft, expand};
use crate::matrix::CellId;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;

/// The maximum number of cells of a matrix. This is far more than a run can have, and they still fit into memory.
const MAX_CELLS: usize = 100_000;

pub(super) fn check(draft: &Draft, report: &Report<'_>) {
    let matrix = &draft.matrix;
    values_have_tables(draft, report);
    ids_are_unambiguous(matrix, report);
    tables_have_values(draft, report);
    if !matrix.is_complete() {
        return;
    }
    if matrix.size() > MAX_CELLS {
        let message = format!("the axes multiply to more than {MAX_CELLS} cells");
        let help = "remove values, or split the matrix into several files";
        report.add(Problem::at(matrix.span, message, help));
        return;
    }
    let cells = excludes_match(matrix, report);
    includes_add(matrix, &cells, report);
    ids_fit(matrix, &cells, report);
}

/// The values of the axis with this index, including values that occur only in includes.
fn values(matrix: &MatrixTable, index: usize) -> impl Iterator<Item = &Located<AxisValue>> {
    let includes = matrix.includes.iter();
    let included = includes.map(move |include| &include.values[&index]);
    matrix.axes[index].1.list.iter().chain(included)
}

/// Every value needs a table, except for the config `default`.
fn values_have_tables(draft: &Draft, report: &Report<'_>) {
    // Values of `kubernetes` and `nodes` need no table.
    for (index, (axis, _)) in draft.matrix.axes.iter().enumerate().skip(2) {
        let tables = draft.values.get(axis);
        if tables.is_some_and(|tables| tables.incomplete) {
            continue;
        }
        let tables = tables.into_iter().flat_map(|values| &values.tables);
        let without = (axis == "config").then(|| "default".to_owned());
        let names = tables.map(|(value, _)| value.value.to_string());
        let known: BTreeSet<String> = names.chain(without).collect();
        for value in values(&draft.matrix, index) {
            let name = value.value.to_string();
            if known.contains(&name) {
                continue;
            }
            let header = header(axis, &name);
            let help = match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`? Or add a table `{header}`"),
                None => format!("add a table `{header}`"),
            };
            let message = format!("the {axis} `{name}` has no table");
            report.add(Problem::at(value.span, message, help));
        }
    }
}

/// In an id, the part of a further axis begins with `-<axis>-`. To keep ids unambiguous, a value must not contain the
/// name of a further axis between dashes.
fn ids_are_unambiguous(matrix: &MatrixTable, report: &Report<'_>) {
    let further = matrix.axes.iter().skip(FIXED.len());
    let further: Vec<&str> = further.map(|(axis, _)| axis.as_str()).collect();
    for value in (2..matrix.axes.len()).flat_map(|index| values(matrix, index)) {
        let name = value.value.to_string();
        if let Some(axis) = name.split('-').find(|part| further.contains(part)) {
            let message = format!(
                "`{name}` contains the name of the axis `{axis}`, so ids would be ambiguous"
            );
            let help =
                "ids have a part `<axis>-<value>` for each axis: rename the value or the axis";
            report.add(Problem::at(value.span, message, help));
        }
    }
}

/// Folders are named after ids, so their length is limited.
fn ids_fit(matrix: &MatrixTable, cells: &BTreeSet<Point<'_>>, report: &Report<'_>) {
    if matrix.further_names.is_empty() {
        return;
    }
    let included = matrix.includes.iter().map(Combination::point);
    let points: Vec<_> = included.collect();
    let ids = cells.iter().chain(&points).map(|point| expand::id(point));
    let Some(longest) = ids.max_by_key(|id| id.as_str().len()) else {
        return;
    };
    let length = longest.as_str().len();
    if length > CellId::MAX {
        let message = format!(
            "the id of a cell would have {length} characters, more than {}: {longest}",
            CellId::MAX
        );
        let help = "use shorter names for axes and values";
        report.add(Problem::at(matrix.span, message, help));
    }
}

/// The value of each `[kubernetes."x"]`, `[config.x]` and `[<axis>.x]` must be on its axis or in an include.
fn tables_have_values(draft: &Draft, report: &Report<'_>) {
    let matrix = &draft.matrix;
    if !matrix.includes_complete {
        return;
    }
    for (index, axis) in matrix.axes.iter().enumerate() {
        let tables = draft.values.get(&axis.0).into_iter();
        for (value, _) in tables.flat_map(|values| &values.tables) {
            if values(matrix, index).all(|known| known.value != value.value) {
                is_on_axis(value, axis, "no cell has it", report);
            }
        }
    }
}

/// Whether a value is on its axis. Reports a value that isn't, unless the axis could be read only in part.
fn is_on_axis(
    value: &Located<AxisValue>,
    (axis, values): &(String, Values),
    label: &str,
    report: &Report<'_>,
) -> bool {
    let known = values.find(&value.value).is_some();
    if known || !values.complete {
        return known;
    }
    let names = values.list.iter().map(|known| known.value.to_string());
    let names: Vec<String> = names.collect();
    let help = match nearest(&value.value.to_string(), names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? On the axis: {}", quoted(&names)),
        None => format!("on the axis: {}", quoted(&names)),
    };
    let message = format!("`{}` is not on the axis `{axis}`", value.value);
    report.add(Problem::at(value.span, message, help).labelled(label));
    false
}

/// Reports excludes that exclude nothing. Returns the points that aren't excluded.
fn excludes_match<'m>(matrix: &'m MatrixTable, report: &Report<'_>) -> BTreeSet<Point<'m>> {
    let mut remaining: Vec<Point<'m>> = matrix.points();
    for exclude in &matrix.excludes {
        if !has_known_values(exclude, matrix, report) {
            continue;
        }
        let before = remaining.len();
        remaining.retain(|point| !exclude.matches(point));
        if remaining.len() == before {
            let message = "this exclude matches no cell";
            let help = "earlier excludes already match all of its cells: remove it";
            report.add(Problem::at(exclude.span, message, help));
        }
    }
    remaining.into_iter().collect()
}

fn has_known_values(exclude: &Combination, matrix: &MatrixTable, report: &Report<'_>) -> bool {
    const LABEL: &str = "so this exclude matches nothing";
    let values = exclude.values.iter();
    let known = values.map(|(index, value)| is_on_axis(value, &matrix.axes[*index], LABEL, report));
    // Every value is checked, so that all problems are reported together.
    known.filter(|is_known| !is_known).count() == 0
}

/// Reports an include of an existing cell that doesn't change the cell, and several includes of the same cell.
fn includes_add(matrix: &MatrixTable, cells: &BTreeSet<Point<'_>>, report: &Report<'_>) {
    let mut seen: BTreeMap<Point<'_>, SourceSpan> = BTreeMap::new();
    for include in &matrix.includes {
        let point = include.point();
        let id = expand::id(&point);
        let exists = cells.contains(&point);
        if let Some(first) = seen.insert(point, include.span) {
            let message = format!("the cell `{id}` is included twice");
            let problem = Problem::at(include.span, message, "merge the two");
            let problem = problem.labelled("again");
            report.add(problem.and_at(first, "first here"));
        } else if exists && !include.settings.change_the_cell() {
            let message = format!("the cell `{id}` already exists");
            let help = "its values are on the axes: remove the include, or give it `tags` or `allow-failure`";
            report.add(Problem::at(include.span, message, help));
        }
    }
}
