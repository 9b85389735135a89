//! `expect`: the values that the counters must reach, per node.

use serde_json::json;

use super::keys::{Table, keys, schema};
use super::reader::Located;
use super::shape::{Shape, integer};
use crate::matrix::{Counter, Expectation, Expectations};

/// `expect`, and the names of the counters in it.
pub(super) fn expectations(keys: &mut Table<'_>) -> (Expectations, Vec<Located<String>>) {
    let mut expectations = Expectations::default();
    let mut counters = Vec::new();
    let exits = "0 to 1000 exits of the agent's process per node";
    keys! { keys;
        /// How many times the processes of each agent pod may exit between readiness and `cleanup` without failing the
        /// cell.
        "restarts": integer::<u32>(0..=1_000, exits) => expectations.restarts;
    }
    let reference = || json!({ "$ref": "#/definitions/expectation" });
    for counter in Counter::ALL {
        keys.describe(Some(counter.name()), "", reference);
    }
    let expectation = expectation();
    for entry in keys.others("", reference) {
        let (value, span) = (entry.key.to_owned(), entry.key_span);
        counters.push(Located { value, span });
        if let Some(expectation) = expectation.read(entry) {
            expectations.set(entry.key, expectation);
        }
    }
    (expectations, counters)
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
        let table = entry.table(format!("`{key}`"))?;
        table.read(exactly).map(Expectation::Exactly)
    })
}

fn exactly(keys: &mut Table<'_>) -> Option<u64> {
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
