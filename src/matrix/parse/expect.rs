//! `expect`: the values that the counters must reach, per node.

use serde_json::{Map, json};

use super::keys::{Keys, keys, schema};
use super::reader::Located;
use super::report::Report;
use super::shape::{Shape, integer};
use crate::matrix::nearest::suggestion;
use crate::matrix::problem::Problem;
use crate::matrix::{Counter, Expectation, Expectations};

/// The key of `expect` that isn't a counter.
const RESTARTS: &str = "restarts";

/// The content of `expect`.
#[derive(Clone, Default)]
pub(super) struct Expected {
    pub(super) counters: Expectations,
    /// The counters that aren't the suite's own. Only the mock can tell whether they exist.
    pub(super) further: Vec<Located<String>>,
}

pub(super) fn expected() -> Shape<Expected> {
    let (counter, restarts) = (expectation(), restarts());
    let reference = json!({ "$ref": "#/definitions/expectation" });
    let names = Counter::ALL
        .into_iter()
        .map(|counter| counter.name().to_owned());
    let mut properties: Map<_, _> = names.map(|name| (name, reference.clone())).collect();
    properties.insert(RESTARTS.to_owned(), restarts.schema.clone());
    let schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": reference,
    });
    Shape::new(schema, move |entry| {
        let table = entry.table("`expect`".to_owned())?;
        let mut expected = Expected::default();
        for entry in table.entries() {
            if entry.key == RESTARTS {
                expected.counters.restarts = restarts.read(entry);
                continue;
            }
            if Counter::from_name(entry.key).is_none() {
                let name = entry.key.to_owned();
                expected.further.push(entry.key_located(name));
            }
            if let Some(expectation) = counter.read(entry) {
                expected.counters.set(entry.key, expectation);
            }
        }
        Some(expected)
    })
}

fn restarts() -> Shape<u32> {
    let doc = "How many times the process of each agent pod may exit between readiness and `cleanup` without failing the cell.";
    let help = "0 to 1000 exits of the agent's process per node";
    integer(0..=1_000, help).with("description", doc)
}

/// The expectation of a counter.
pub(super) fn expectation() -> Shape<Expectation> {
    let minimum = number().map(Expectation::AtLeast);
    let any_of = json!([minimum.schema, schema(exactly), { "enum": ["any"] }]);
    Shape::new(json!({ "anyOf": any_of }), move |entry| {
        let key = entry.key;
        if entry.value.is_integer() {
            return minimum.read(entry);
        }
        if entry.value.as_str() == Some("any") {
            return Some(Expectation::Any);
        }
        if !entry.value.is_table() {
            let help = "write a minimum per node, such as `3`, an exact number, such as `{ exactly = 1 }`, or `\"any\"` for no check";
            return entry.fail(format!("`{key}` is not a number of calls"), help);
        }
        Keys::read(entry.table(format!("`{key}`"))?, exactly).map(Expectation::Exactly)
    })
}

fn exactly(keys: &mut Keys<'_>) -> Option<u64> {
    let mut exactly = None;
    keys! { keys;
        /// The exact number of calls.
        "exactly": number() => exactly, required "1";
    }
    exactly
}

fn number() -> Shape<u64> {
    integer(0..=1_000_000, "0 (no minimum) to 1000000 calls per node")
}

/// Reports each of `names` that the reference mock doesn't count.
pub(super) fn known_to_the_reference_mock(names: &[Located<String>], report: &Report<'_>) {
    use mockapi::view::Counter;
    let names = names.iter();
    for name in names.filter(|name| Counter::from_name(&name.value).is_none()) {
        let counters = Counter::ALL.into_iter().map(Counter::name);
        let known: Vec<_> = counters.chain([RESTARTS]).collect();
        let help = suggestion(&name.value, &known, "known keys:");
        let message = format!("the mock reports no counter `{}`", name.value);
        report.add(Problem::at(name.span, message, help));
    }
}
