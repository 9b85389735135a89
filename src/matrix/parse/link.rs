//! Checks the relations between tables, and selects the points that have cells. For example, names must exist, and no
//! cell may exist twice.
//!
//! A reference to something that couldn't be read isn't reported, because the original problem is reported already.

use std::collections::{BTreeMap, BTreeSet};

use super::Draft;
use super::axes::{AxisValue, FIXED, MatrixTable, Values};
use super::document::Document;
use super::expand::{self, Point, Selected};
use super::reader::Located;
use super::variants::{ValueTables, header};
use crate::matrix::CellId;
use crate::matrix::nearest::{nearest, quoted, suggestion};
use crate::matrix::problem::Problem;

/// The maximum number of cells of a matrix. This is far more than a run can have, and they still fit into memory.
const MAX_CELLS: usize = 100_000;

/// The points that have cells, in order. There are none if the axes couldn't be read completely.
pub(super) fn selected<'d>(draft: &'d Draft, document: &Document<'_>) -> Vec<Selected<'d>> {
    counters_exist(draft, document);
    let Some(matrix) = &draft.matrix else {
        return Vec::new();
    };
    values_have_tables(draft, matrix, document);
    ids_are_unambiguous(matrix, document);
    tables_have_values(draft, matrix, document);
    let all_axes = FIXED.len() + matrix.further_names.len();
    if matrix.axes.len() < all_axes || matrix.axes.iter().any(|(_, values)| !values.complete) {
        return Vec::new();
    }
    if matrix.size() > MAX_CELLS {
        let message = format!("the axes multiply to more than {MAX_CELLS} cells");
        let help = "remove values, or split the matrix into several files";
        document.report(Problem::at(matrix.span, message, help));
        return Vec::new();
    }
    let selected = with_includes(matrix, without_excluded(matrix, document), document);
    ids_fit(matrix, &selected, document);
    selected
}

/// Reports counters that the reference mock doesn't have. Another mock may have other counters, so its counters are
/// checked only during the run.
fn counters_exist(draft: &Draft, document: &Document<'_>) {
    use mockapi::view::Counter;
    if draft.has_own_mock {
        return;
    }
    let tables = draft.values.values().flat_map(|tables| &tables.list);
    let counters = tables.flat_map(|(_, table)| &table.counters);
    for counter in counters.filter(|counter| Counter::from_name(&counter.value).is_none()) {
        let known = Counter::ALL.into_iter().map(Counter::name);
        let known: Vec<_> = known.chain(["restarts"]).collect();
        let message = format!("the mock reports no counter `{}`", counter.value);
        let help = suggestion(&counter.value, &known, "known keys:");
        document.report(Problem::at(counter.span, message, help));
    }
}

/// The values of the axis with this index, including values that occur only in includes.
fn values(matrix: &MatrixTable, index: usize) -> impl Iterator<Item = &Located<AxisValue>> {
    let includes = matrix.includes.list.iter();
    let included = includes.map(move |include| &include.values[&index]);
    matrix.axes[index].1.list.iter().chain(included)
}

/// Every value needs a table, except for the config `default`.
fn values_have_tables(draft: &Draft, matrix: &MatrixTable, document: &Document<'_>) {
    let none = ValueTables::NONE;
    // Values of `kubernetes` and `nodes` need no table.
    for (index, (axis, _)) in matrix.axes.iter().enumerate().skip(2) {
        let tables = draft.values.get(axis).unwrap_or(&none);
        let default = (axis == "config").then(|| "default".to_owned());
        let known = tables.list.iter().map(|(value, _)| value.value.to_string());
        let known: BTreeSet<String> = known.chain(default).collect();
        let values = values(matrix, index).filter(|_| tables.complete);
        let names = values.map(|value| (value.value.to_string(), value.span));
        for (name, span) in names.filter(|(name, _)| !known.contains(name)) {
            let header = header(axis, &name);
            let help = match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`? Or add a table `{header}`"),
                None => format!("add a table `{header}`"),
            };
            let message = format!("the {axis} `{name}` has no table");
            document.report(Problem::at(span, message, help));
        }
    }
}

/// In an id, the part of a further axis begins with `-<axis>-`. To keep ids unambiguous, a value must not contain the
/// name of a further axis between dashes.
fn ids_are_unambiguous(matrix: &MatrixTable, document: &Document<'_>) {
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
            document.report(Problem::at(value.span, message, help));
        }
    }
}

/// Folders are named after ids, so their length is limited.
fn ids_fit(matrix: &MatrixTable, selected: &[Selected<'_>], document: &Document<'_>) {
    // Without further axes, no id is that long.
    if matrix.further_names.is_empty() {
        return;
    }
    let ids = selected.iter().map(|(point, _)| expand::id(point));
    let longest = ids.max_by_key(|id| id.as_str().len());
    if let Some(id) = longest.filter(|id| id.as_str().len() > CellId::MAX) {
        let (length, max) = (id.as_str().len(), CellId::MAX);
        let message =
            format!("the id of a cell would have {length} characters, more than {max}: {id}");
        let help = "use shorter names for axes and values";
        document.report(Problem::at(matrix.span, message, help));
    }
}

/// The value of each `[kubernetes."x"]`, `[config.x]` and `[<axis>.x]` must be on its axis or in an include.
fn tables_have_values(draft: &Draft, matrix: &MatrixTable, document: &Document<'_>) {
    if !matrix.includes.complete {
        return;
    }
    for (index, axis) in matrix.axes.iter().enumerate() {
        let tables = draft.values.get(&axis.0).into_iter();
        for (value, _) in tables.flat_map(|tables| &tables.list) {
            if values(matrix, index).all(|known| known.value != value.value) {
                is_on_axis(value, axis, "no cell has it", document);
            }
        }
    }
}

/// Whether a value is on its axis. Reports a value that isn't, unless the axis could be read only in part.
fn is_on_axis(
    value: &Located<AxisValue>,
    (axis, values): &(String, Values),
    label: &str,
    document: &Document<'_>,
) -> bool {
    let known = values.contains(&value.value);
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
    document.report(Problem::at(value.span, message, help).labelled(label));
    false
}

/// The points that aren't excluded. Reports excludes that exclude nothing.
fn without_excluded<'m>(matrix: &'m MatrixTable, document: &Document<'_>) -> Vec<Point<'m>> {
    const LABEL: &str = "so this exclude matches nothing";
    let mut remaining = matrix.points();
    for exclude in &matrix.excludes.list {
        let values = exclude.values.iter();
        // Every value is checked, so that all problems are reported together.
        let unknown = values
            .filter(|(axis, value)| !is_on_axis(value, &matrix.axes[**axis], LABEL, document));
        let has_unknown = unknown.count() > 0;
        let before = remaining.len();
        remaining.retain(|point| !exclude.matches(point));
        if remaining.len() == before && !has_unknown {
            let message = "this exclude matches no cell";
            let help = "earlier excludes already match all of its cells: remove it";
            document.report(Problem::at(exclude.span, message, help));
        }
    }
    remaining
}

/// The points with their includes, followed by the points that only includes add. Reports an include of an existing
/// cell that doesn't change the cell, and several includes of the same cell.
fn with_includes<'m>(
    matrix: &'m MatrixTable,
    points: Vec<Point<'m>>,
    document: &Document<'_>,
) -> Vec<Selected<'m>> {
    let places = points.iter().cloned().zip(0..);
    let mut places: BTreeMap<Point<'m>, usize> = places.collect();
    let points = points.into_iter().map(|point| (point, None));
    let mut selected: Vec<Selected<'m>> = points.collect();
    for include in &matrix.includes.list {
        let point = include.point();
        let id = expand::id(&point);
        let Some(place) = places.get(&point) else {
            places.insert(point.clone(), selected.len());
            selected.push((point, Some(include)));
            continue;
        };
        // An exclude that couldn't be read may match the cell.
        let exists = matrix.excludes.complete;
        if let Some(first) = selected[*place].1.replace(include) {
            let message = format!("the cell `{id}` is included twice");
            let problem = Problem::at(include.span, message, "merge the two");
            document.report(problem.repeats(first.span));
        } else if exists && include.settings.is_none() {
            let message = format!("the cell `{id}` already exists");
            let help = "its values are on the axes: remove the include, or give it `tags` or `allow-failure`";
            document.report(Problem::at(include.span, message, help));
        }
    }
    selected
}
