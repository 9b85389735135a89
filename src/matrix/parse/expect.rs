//! `expect`: the values that the counters must reach, per node.

use serde_json::json;

use super::keys::{Keys, keys, schema};
use super::reader::Entry;
use super::shape::{Shape, integer};
use crate::matrix::nearest::suggestion;
use crate::matrix::problem::Problem;
use crate::matrix::{Counter, Expectation, Expectations};

/// `expect`.
pub(super) fn expectations(keys: &mut Keys<'_>) -> Expectations {
    let mut expectations = Expectations::default();
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
        if let Some(expectation) = expectation.read(entry) {
            expectations.set(entry.key, expectation);
        }
        check_counter(entry);
    }
    expectations
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

/// Reports a counter that the reference mock doesn't have. Another mock may have other counters, so its counters
/// are checked only during the run.
fn check_counter(entry: Entry<'_>) {
    use mockapi::view::Counter;
    let has_image = |key| entry.report.has(&["images", "mock", key]);
    if has_image("image") || has_image("build") || Counter::from_name(entry.key).is_some() {
        return;
    }
    let counters = Counter::ALL.into_iter().map(Counter::name);
    let known: Vec<_> = counters.chain(["restarts"]).collect();
    let help = suggestion(entry.key, &known, "known keys:");
    let message = format!("the mock reports no counter `{}`", entry.key);
    let problem = Problem::at(entry.key_span, message, help);
    entry.report.add_missing(problem);
}
