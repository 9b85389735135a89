//! The counters of a cell as rows: the total and the nodes, with failed checks first.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{CounterTable, Evidence};
use crate::matrix::Counter;
use crate::record::model::{CellModel, RunModel};

/// The counters with a column, by name: the suite's own in the mock's order, then the others that the matrix file
/// names.
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
        || reported.is_some_and(|counters| counters.total.contains_key(subject))
}

/// A row of a table of counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::report) struct CounterRow {
    /// `total`, or the node's short name.
    pub(in crate::report) label: String,
    /// One per [column](columns).
    pub(in crate::report) values: Vec<CounterValue>,
}

/// A counter in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::report) struct CounterValue {
    /// The value; `None` if the mock didn't report it.
    pub(in crate::report) value: Option<u64>,
    /// The expectation, if the value doesn't meet it.
    pub(in crate::report) unmet: Option<String>,
    /// Whether there was an expectation, according to the evidence.
    pub(in crate::report) is_checked: bool,
}

impl CounterRow {
    /// Whether all values meet their expectations.
    pub(in crate::report) fn holds(&self) -> bool {
        self.values.iter().all(|value| value.unmet.is_none())
    }
}

impl CounterValue {
    /// `3`, `0 (>= 1)` if it should be more, or `0 (any)` if it was not checked.
    pub(in crate::report) fn text(&self) -> String {
        let value = self.value.map_or("-".to_owned(), |value| value.to_string());
        match &self.unmet {
            Some(expected) => format!("{value} ({expected})"),
            None if self.is_checked => value,
            None => format!("{value} (any)"),
        }
    }
}

/// The row with the sums over all nodes.
pub(in crate::report) fn total(cell: &CellModel, columns: &[&str]) -> Option<CounterRow> {
    let counters = cell.counters.as_ref()?;
    let unmet = Unmet::of(cell);
    let mut total = row(
        "total".to_owned(),
        columns,
        Some(&counters.total),
        Some(&unmet.total),
    );
    for (counter, value) in columns.iter().zip(&mut total.values) {
        let mut evidence = cell.evidence();
        value.is_checked = evidence.all(|one| one.is_checked() || one.subject != *counter);
    }
    Some(total)
}

/// The smallest value of any node for each counter, which a sum would hide.
pub(in crate::report) fn minimum(cell: &CellModel, columns: &[&str]) -> Option<CounterRow> {
    let nodes = &cell.counters.as_ref()?.nodes;
    if nodes.len() < 2 {
        return None;
    }
    let mut least: Option<CounterTable> = None;
    for table in nodes.values() {
        least = Some(match least {
            None => table.clone(),
            Some(so_far) => lesser(&so_far, table),
        });
    }
    let label = format!("min of {} nodes", nodes.len());
    Some(row(label, columns, least.as_ref(), None))
}

fn lesser(one: &CounterTable, other: &CounterTable) -> CounterTable {
    let least = |name: &String, value: u64| value.min(other.get(name).copied().unwrap_or(0));
    one.iter()
        .map(|(name, value)| (name.clone(), least(name, *value)))
        .collect()
}

/// One row per node: those with failed checks first, then the others by name.
pub(in crate::report) fn nodes(cell: &CellModel, columns: &[&str]) -> Vec<CounterRow> {
    let Some(counters) = &cell.counters else {
        return Vec::new();
    };
    let unmet = Unmet::of(cell);
    let names: BTreeSet<&str> = counters
        .nodes
        .keys()
        .map(String::as_str)
        .chain(unmet.nodes.keys().copied())
        .collect();
    let mut rows: Vec<_> = names
        .into_iter()
        .map(|node| {
            let label = cell.short_node(node).to_owned();
            let (seen, unmet) = (counters.nodes.get(node), unmet.nodes.get(node));
            row(label, columns, seen, unmet)
        })
        .collect();
    rows.sort_by_key(CounterRow::holds);
    rows
}

/// The expectation of each counter per node, one text per column; `None` if the evidence doesn't contain any.
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
    expected
        .iter()
        .any(|text| !text.is_empty())
        .then_some(expected)
}

fn row(
    label: String,
    columns: &[&str],
    table: Option<&CounterTable>,
    unmet: Option<&Expectations<'_>>,
) -> CounterRow {
    let value = |counter: &&str| CounterValue {
        value: table.and_then(|table| table.get(*counter).copied()),
        unmet: unmet
            .and_then(|unmet| unmet.get(counter))
            .map(|expected| (*expected).to_owned()),
        is_checked: true,
    };
    CounterRow {
        label,
        values: columns.iter().map(value).collect(),
    }
}

/// Expectations that aren't met, by counter.
type Expectations<'a> = BTreeMap<&'a str, &'a str>;

/// A cell's expectations that aren't met.
#[derive(Default)]
struct Unmet<'a> {
    total: Expectations<'a>,
    nodes: BTreeMap<&'a str, Expectations<'a>>,
}

impl<'a> Unmet<'a> {
    fn of(cell: &'a CellModel) -> Self {
        let mut unmet = Self::default();
        let is_unmet = |one: &&Evidence| !one.holds && is_counter(cell, &one.subject);
        for one in cell.evidence().filter(is_unmet) {
            let expectations = match one.node.as_deref() {
                Some(node) => unmet.nodes.entry(node).or_default(),
                None => &mut unmet.total,
            };
            expectations.insert(one.subject.as_str(), one.expected.as_str());
        }
        unmet
    }
}
