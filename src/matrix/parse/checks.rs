//! `[[checks]]`: conditions on request bodies, in addition to the suite's own.

use std::collections::BTreeMap;

use miette::SourceSpan;
use serde_json::json;

use super::keys::{Keys, keys, tables};
use super::reader::Located;
use super::report::Report;
use super::shape::{Shape, boolean, choice, name, parsed};
use super::to_json;
use crate::matrix::Counter;
use crate::matrix::checks::{BodyCheck, Condition, JsonType, Pattern, Pointer};
use crate::matrix::nearest::quoted;
use crate::matrix::problem::Problem;

/// The keys of the conditions, of which each check has exactly one.
const CONDITIONS: [&str; 4] = ["present", "type", "equals", "matches"];

/// `[[checks]]`.
pub(super) fn checks() -> Shape<Vec<BodyCheck>> {
    tables("checks", check)
        .then(|checks, entry| Some(unique(checks, "check", |check| &check.name, entry.report)))
}

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
        "name": name() => given_name;
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
        "equals": equals() => condition;
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
    let entry = table.get("name");
    let name = match entry {
        Some(_) => given_name?,
        None => format!("{}{pointer}", endpoint.body().unwrap_or_default()),
    };
    Some(Located {
        span: entry.map_or(table.span, |entry| entry.span),
        value: BodyCheck {
            name,
            endpoint,
            pointer,
            condition: condition?,
        },
    })
}

/// Reports values that have the same name. `what` says what the values are, such as `check`.
pub(super) fn unique<V>(
    values: Vec<Located<V>>,
    what: &str,
    name: impl Fn(&V) -> &str,
    report: &Report<'_>,
) -> Vec<V> {
    let mut seen: BTreeMap<&str, SourceSpan> = BTreeMap::new();
    for Located { value, span } in &values {
        let name = name(value);
        if let Some(first) = seen.insert(name, *span) {
            let message = format!("two {what}s have the name `{name}`");
            let help = format!("give each {what} its own `name`");
            let problem = Problem::at(*span, message, help).labelled("again");
            report.add(problem.and_at(first, "first here"));
        }
    }
    values.into_iter().map(|located| located.value).collect()
}

fn present() -> Shape<Condition> {
    let present = boolean().then(|is_present, entry| {
        if is_present {
            return Some(Condition::Present);
        }
        entry.fail("`present` can only be `true`", "remove the check")
    });
    present.with("enum", [true].as_slice())
}

fn equals() -> Shape<Condition> {
    Shape::new(json!({}), to_json::plain).map(Condition::Equals)
}
