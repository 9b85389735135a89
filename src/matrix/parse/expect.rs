//! `expect`: what a variant's counters must come to, per node.

use super::reader::{Entry, Table};
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;
use crate::matrix::{Counter, Expectation, Expectations};

/// The `expect` of a variant's table.
pub(super) fn read(table: &Table<'_>) -> Expectations {
    let mut expectations = Expectations::default();
    let inner = table
        .get("expect")
        .and_then(|entry| entry.table("`expect`".to_owned()));
    for entry in inner.iter().flat_map(Table::entries) {
        if entry.key == RESTARTS {
            if let Some(restarts) = restarts(entry) {
                expectations.allow_restarts(restarts);
            }
            continue;
        }
        if let (Some(counter), Some(expectation)) = (counter(entry), expectation(entry)) {
            expectations.set(counter, expectation);
        }
    }
    expectations
}

/// The one key of `expect` that is not a counter of the mock.
const RESTARTS: &str = "restarts";

fn restarts(entry: Entry<'_>) -> Option<u32> {
    const RANGE: std::ops::RangeInclusive<u64> = 0..=1_000;
    let allowed = entry.integer(RANGE, "ends of the agent's process per node: 0 to 1000")?;
    u32::try_from(allowed).ok()
}

fn counter(entry: Entry<'_>) -> Option<Counter> {
    let found = Counter::from_name(entry.key);
    if found.is_none() {
        let names = || Counter::all().map(Counter::name).chain([RESTARTS]);
        let help = match nearest(entry.key, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys are {}", quoted(names())),
        };
        entry.report.add(
            Problem::at(entry.key_span, format!("`{}` is no counter", entry.key), "")
                .with_help(help),
        );
    }
    found
}

fn expectation(entry: Entry<'_>) -> Option<Expectation> {
    if entry.value.is_integer() {
        return number(entry).map(Expectation::AtLeast);
    }
    if entry.value.as_str() == Some("any") {
        return Some(Expectation::Any);
    }
    if !entry.value.is_table() {
        let message = format!("`{}` is not a number of calls", entry.key);
        entry.problem(message, "", SHAPES);
        return None;
    }
    let table = entry.table(format!("`{}`", entry.key))?;
    table.only(&["exactly"]);
    let exactly = table.require("exactly", "exactly = 1")?;
    number(exactly).map(Expectation::Exactly)
}

const SHAPES: &str = "a number is a minimum per node, `{ exactly = 1 }` neither more nor less, `\"any\"` is not checked";

fn number(entry: Entry<'_>) -> Option<u64> {
    const RANGE: std::ops::RangeInclusive<u64> = 0..=1_000_000;
    entry.integer(RANGE, "calls per node: 0 (no minimum) to 1000000")
}
