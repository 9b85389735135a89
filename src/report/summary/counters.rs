//! The counters of a cell as rows: the total, and nodes, those that do not hold first.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{CounterTable, Evidence};
use crate::matrix::Counter;
use crate::record::model::CellModel;

/// One row of a counter table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::report) struct CounterRow {
    /// The total, or the node's short name.
    pub(in crate::report) label: String,
    /// One a counter, in the mock's order.
    pub(in crate::report) values: Vec<CounterValue>,
}

/// One counter of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::report) struct CounterValue {
    /// None where the mock did not name it.
    pub(in crate::report) value: Option<u64>,
    /// What it should have been, where it is not.
    pub(in crate::report) unmet: Option<String>,
    /// Whether anything was expected of it, as far as the evidence tells.
    pub(in crate::report) is_checked: bool,
}

impl CounterRow {
    /// Whether all of it is as it should be.
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

/// The row of a cell's sums.
pub(in crate::report) fn total(cell: &CellModel) -> Option<CounterRow> {
    let counters = cell.counters.as_ref()?;
    let unmet = Unmet::of(cell);
    let mut total = row(
        "total".to_owned(),
        Some(&counters.total),
        Some(&unmet.total),
    );
    for (counter, value) in Counter::all().zip(&mut total.values) {
        let mut evidence = cell.evidence();
        value.is_checked = evidence.all(|one| one.is_checked() || one.subject != counter.name());
    }
    Some(total)
}

/// The least that any one node came to, counter by counter: what a sum over nodes hides.
pub(in crate::report) fn least(cell: &CellModel) -> Option<CounterRow> {
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
    let label = format!("least of {} nodes", nodes.len());
    Some(row(label, least.as_ref(), None))
}

fn lesser(one: &CounterTable, other: &CounterTable) -> CounterTable {
    let least = |name: &String, value: u64| value.min(other.get(name).copied().unwrap_or(0));
    one.iter()
        .map(|(name, value)| (name.clone(), least(name, *value)))
        .collect()
}

/// One row a node: those that do not hold first, then the others by name.
pub(in crate::report) fn nodes(cell: &CellModel) -> Vec<CounterRow> {
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
            row(label, counters.nodes.get(node), unmet.nodes.get(node))
        })
        .collect();
    rows.sort_by_key(CounterRow::holds);
    rows
}

/// What the evidence says that every node's counters must come to, one text a counter; none where it says nothing.
pub(in crate::report) fn expected_of_a_node(cell: &CellModel) -> Option<Vec<String>> {
    let find = |counter: Counter| {
        let mut evidence = cell.evidence();
        let about = evidence.find(|one| one.node.is_some() && one.subject == counter.name());
        about.map(|one| one.expected.clone()).unwrap_or_default()
    };
    let expected: Vec<_> = Counter::all().map(find).collect();
    expected
        .iter()
        .any(|text| !text.is_empty())
        .then_some(expected)
}

fn row(
    label: String,
    table: Option<&CounterTable>,
    unmet: Option<&Expectations<'_>>,
) -> CounterRow {
    let value = |counter: Counter| CounterValue {
        value: table.and_then(|table| table.get(counter.name()).copied()),
        unmet: unmet
            .and_then(|unmet| unmet.get(counter.name()))
            .map(|expected| (*expected).to_owned()),
        is_checked: true,
    };
    CounterRow {
        label,
        values: Counter::all().map(value).collect(),
    }
}

/// Expectations that do not hold, by counter.
type Expectations<'a> = BTreeMap<&'a str, &'a str>;

/// A cell's expectations that do not hold.
#[derive(Default)]
struct Unmet<'a> {
    total: Expectations<'a>,
    nodes: BTreeMap<&'a str, Expectations<'a>>,
}

impl<'a> Unmet<'a> {
    fn of(cell: &'a CellModel) -> Self {
        let mut unmet = Self::default();
        for one in cell.evidence().filter(|one| is_unmet_counter(one)) {
            let expectations = match one.node.as_deref() {
                Some(node) => unmet.nodes.entry(node).or_default(),
                None => &mut unmet.total,
            };
            expectations.insert(one.subject.as_str(), one.expected.as_str());
        }
        unmet
    }
}

fn is_unmet_counter(evidence: &Evidence) -> bool {
    !evidence.holds && Counter::from_name(&evidence.subject).is_some()
}
