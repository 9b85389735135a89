//! `[[checks]]`: conditions on request bodies, in addition to the suite's own.

use serde_json::json;

use super::keys::{Keys, keys};
use super::reader::Located;
use super::shape::{Shape, boolean, choice, name, parsed};
use super::to_json;
use crate::matrix::Counter;
use crate::matrix::checks::{BodyCheck, Condition, JsonType, Pattern, Pointer};
use crate::matrix::nearest::quoted;
use crate::matrix::problem::Problem;

/// The keys of the conditions, of which each check has exactly one.
const CONDITIONS: [&str; 4] = ["present", "type", "equals", "matches"];

/// An entry of `[[checks]]`.
pub(super) fn check(keys: &mut Keys<'_>) -> Option<Located<BodyCheck>> {
    let (mut given_name, mut endpoint, mut pointer, mut condition) = (None, None, None, None);
    let endpoints = Counter::ALL
        .into_iter()
        .filter_map(|counter| Some((counter.body()?, counter)));
    let pointer_help = "for example `/status/0`; an empty pointer refers to the whole body";
    let pattern_help = "see https://docs.rs/regex for the syntax";
    keys! { keys;
        /// The name of the check in reports; by default its endpoint and pointer. Each check needs its own name.
        "name": name().located() => given_name;
        /// `"register"`, `"heartbeat"`, `"capabilities"`, `"drift"`, `"metrics"`, `"logs"`, `"audit"`,
        /// `"local_metrics"`, `"local_logs"` or `"local_audit"`
        "endpoint": choice(endpoints) => endpoint, required "\"heartbeat\"";
        /// A JSON pointer (RFC 6901) to the value, such as `"/status/0"`; `""` refers to the whole body.
        "pointer": parsed(Pointer::parse, pointer_help) => pointer, required "\"/timestamp\"";
        /// The value exists, even if it is `null`.
        "present": present() => condition;
        /// The value is a `"string"`, `"number"`, `"boolean"`, `"array"`, `"object"` or `"null"`.
        "type": choice(JsonType::NAMES).map(Condition::Type) => condition;
        /// The value is equal to this one. `1` and `1.0` are the same number.
        "equals": Shape::new(json!({}), to_json::plain).map(Condition::Equals) => condition;
        /// The value is a string in which this [regular expression](https://docs.rs/regex) finds a match.
        "matches": parsed(Pattern::parse, pattern_help).map(Condition::Matches) => condition;
    }
    let table = &keys.table;
    let given: Vec<_> = CONDITIONS.iter().filter_map(|key| table.get(key)).collect();
    if given.len() != 1 {
        let (count, place) = match given.last() {
            None => ("no condition", table.span),
            Some(last) => ("more than one condition", last.key_span),
        };
        let help = format!("give it exactly one of {}", quoted(CONDITIONS));
        let problem = Problem::at(place, format!("this check has {count}"), help);
        table.report.add_missing(problem);
    }
    let (endpoint, pointer) = (endpoint?, pointer?);
    let name = match table.get("name") {
        Some(_) => given_name?,
        None => Located {
            value: format!("{}{pointer}", endpoint.body().unwrap_or_default()),
            span: table.span,
        },
    };
    Some(name.with(BodyCheck {
        name: name.value.clone(),
        endpoint,
        pointer,
        condition: condition?,
    }))
}

fn present() -> Shape<Condition> {
    let present = boolean().checked(
        |is_present| *is_present,
        |_, _| "`present` can only be `true`",
        "remove the check",
    );
    let present = present.map(|_| Condition::Present);
    present.with("enum", [true].as_slice())
}
