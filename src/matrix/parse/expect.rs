//! `expect`: what the counters must reach, per node.

use super::reader::{Entry, Located, Table};
use super::report::Report;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;
use crate::matrix::{Counter, Expectation, Expectations};

/// The `expect` of a value's table, and those of its keys that aren't among the suite's own counters.
pub(super) fn read(table: &Table<'_>) -> (Expectations, Vec<Located<String>>) {
    let (mut expectations, mut further) = (Expectations::default(), Vec::new());
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
        if Counter::from_name(entry.key).is_none() {
            further.push(Located {
                value: entry.key.to_owned(),
                span: entry.key_span,
            });
        }
        if let Some(expectation) = expectation(entry) {
            expectations.set(entry.key, expectation);
        }
    }
    (expectations, further)
}

/// Reports each of `names` that the reference mock doesn't count.
pub(super) fn known_to_the_reference_mock(names: &[Located<String>], report: &Report<'_>) {
    use mockapi::view::Counter;
    let names = names.iter();
    for name in names.filter(|name| Counter::from_name(&name.value).is_none()) {
        let known = || {
            Counter::ALL
                .map(Counter::name)
                .into_iter()
                .chain([RESTARTS])
        };
        let help = match nearest(&name.value, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys are {}", quoted(known())),
        };
        let message = format!("the mock reports no counter `{}`", name.value);
        report.add(Problem::at(name.span, message, "").with_help(help));
    }
}

/// The key of `expect` that isn't a counter.
const RESTARTS: &str = "restarts";

fn restarts(entry: Entry<'_>) -> Option<u32> {
    const RANGE: std::ops::RangeInclusive<u64> = 0..=1_000;
    let allowed = entry.integer(RANGE, "ends of the agent's process per node: 0 to 1000")?;
    u32::try_from(allowed).ok()
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
