//! The counters of a cell as rows: the total and the nodes, with failed checks first.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Evidence;
use crate::matrix::Counter;
use crate::record::model::{CellModel, RunModel};

/// The names of the counters that have a column: the suite's own in the mock's order, then the others that the matrix
/// file names.
pub(in crate::report) fn columns(run: &RunModel) -> Vec<&str> {
    let mut further = BTreeSet::new();
    for cell in &run.cells {
        let subjects = cell.evidence().map(|evidence| evidence.subject.as_str());
        further.extend(subjects.filter(|subject| is_counter(cell, subject)));
    }
    further.retain(|name| Counter::from_name(name).is_none());
    let mut columns: Vec<&str> = Counter::ALL.into_iter().map(Counter::name).collect();
    columns.extend(further);
    columns
}

fn is_counter(cell: &CellModel, subject: &str) -> bool {
    let reported = cell.counters.as_ref();
    Counter::from_name(subject).is_some()
        || reported.is_some_and(|counters| counters.total_of(subject).is_some())
}

/// A row of a table of counters.
pub(in crate::report) struct CounterRow {
    /// `total`, or the node's short name.
    pub(in crate::report) label: String,
    /// One value per [column](columns).
    pub(in crate::report) values: Vec<CounterValue>,
}

/// A counter in a row.
pub(in crate::report) struct CounterValue {
    /// `3`, `0 (>= 1)` if the value is too low, `0 (any)` if the counter wasn't checked, or `-` if the mock didn't
    /// report the counter.
    pub(in crate::report) text: String,
    /// Whether the value doesn't meet its expectation.
    pub(in crate::report) is_unmet: bool,
}

impl CounterRow {
    /// Whether all values meet their expectations.
    pub(in crate::report) fn holds(&self) -> bool {
        !self.values.iter().any(|value| value.is_unmet)
    }
}

/// The row with the sums over all nodes.
pub(in crate::report) fn total(cell: &CellModel, columns: &[&str]) -> Option<CounterRow> {
    let counters = cell.counters.as_ref()?;
    let unmet = unmet(cell);
    let total_of = |counter: &str| counters.total_of(counter);
    let mut total = row("total".to_owned(), columns, total_of, |counter| {
        unmet.get(&(None, counter)).copied()
    });
    for (counter, value) in columns.iter().zip(&mut total.values) {
        let mut about = cell.evidence().filter(|one| one.subject == *counter);
        if !value.is_unmet && !about.all(Evidence::is_checked) {
            value.text += " (any)";
        }
    }
    Some(total)
}

/// The smallest value of each counter on any node, which the total would hide.
pub(in crate::report) fn minimum(cell: &CellModel, columns: &[&str]) -> Option<CounterRow> {
    let counters = cell.counters.as_ref()?;
    let nodes = &counters.nodes;
    if nodes.len() < 2 {
        return None;
    }
    let least = |counter: &str| {
        counters.total_of(counter)?;
        // A node that doesn't report a counter of the mock has counted nothing.
        let counts = nodes.values().map(|counts| counts.get(counter));
        counts.map(|count| count.copied().unwrap_or(0)).min()
    };
    let label = format!("min of {} nodes", nodes.len());
    Some(row(label, columns, least, |_| None))
}

/// One row per node: those with failed checks first, then the others by name.
pub(in crate::report) fn nodes(cell: &CellModel, columns: &[&str]) -> Vec<CounterRow> {
    let Some(counters) = &cell.counters else {
        return Vec::new();
    };
    let unmet = unmet(cell);
    let mut names: BTreeSet<&str> = counters.nodes.keys().map(String::as_str).collect();
    names.extend(unmet.keys().filter_map(|(node, _)| *node));
    let rows = names.into_iter().map(|node| {
        let label = cell.short_node(node).to_owned();
        let table = counters.nodes.get(node);
        let value_of = |counter: &str| table?.get(counter).copied();
        row(label, columns, value_of, |counter| {
            unmet.get(&(Some(node), counter)).copied()
        })
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(CounterRow::holds);
    rows
}

/// The expectation of each counter per node, one string per column; `None` if the evidence contains no expectations.
pub(in crate::report) fn expected_of_a_node(
    cell: &CellModel,
    columns: &[&str],
) -> Option<Vec<String>> {
    let find = |counter: &&str| {
        let mut evidence = cell.evidence();
        let about = evidence.find(|one| one.node.is_some() && one.subject == **counter);
        about.map(|one| one.expected.clone()).unwrap_or_default()
    };
    let expected: Vec<_> = columns.iter().map(find).collect();
    let has_any = expected.iter().any(|text| !text.is_empty());
    has_any.then_some(expected)
}

/// A row with the values that `value_of` returns. If a counter doesn't meet its expectation, `unmet` returns the
/// expectation.
fn row<'a>(
    label: String,
    columns: &[&str],
    value_of: impl Fn(&str) -> Option<u64>,
    unmet: impl Fn(&str) -> Option<&'a str>,
) -> CounterRow {
    let value = |counter: &&str| {
        let value = value_of(counter);
        let value = value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let (text, is_unmet) = match unmet(counter) {
            Some(expected) => (format!("{value} ({expected})"), true),
            None => (value, false),
        };
        CounterValue { text, is_unmet }
    };
    CounterRow {
        label,
        values: columns.iter().map(value).collect(),
    }
}

/// The expectations of counters that a cell doesn't meet, by node and counter. Those for the total have no node.
fn unmet(cell: &CellModel) -> BTreeMap<(Option<&str>, &str), &str> {
    let is_unmet = |one: &&Evidence| !one.holds && is_counter(cell, &one.subject);
    let unmet = cell.evidence().filter(is_unmet);
    unmet
        .map(|one| ((one.node.as_deref(), &*one.subject), &*one.expected))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::minimum;
    use crate::record::RunModel;
    use crate::report::fixture;

    #[test]
    fn the_minimum_is_zero_if_any_node_does_not_report_a_counter_of_the_mock() {
        let run = RunModel::new(&fixture::mixed());
        for node in 0..3 {
            let mut cell = run.cells[1].clone();
            let nodes = &mut cell.counters.as_mut().unwrap().nodes;
            nodes
                .values_mut()
                .nth(node)
                .unwrap()
                .remove("audit_count")
                .unwrap();
            let least = minimum(&cell, &["audit_count", "unknown_count"]).unwrap();
            let texts: Vec<_> = least.values.iter().map(|value| &*value.text).collect();
            assert_eq!(texts, ["0", "-"], "{node}");
        }
    }
}
