//! The required content of request bodies. All functions are pure. Bodies may be secret, so messages don't quote their
//! content, except for an invalid timestamp.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::mock::Party;
use crate::event::Evidence;
use crate::matrix::{BodyCheck, Condition, Counter, JsonType};

/// A check of a body.
pub(crate) struct Check<'c> {
    /// The counter of the endpoint.
    endpoint: Counter,
    subject: String,
    expected: String,
    verify: Box<dyn Fn(&Value) -> Verified + Send + Sync + 'c>,
}

/// The result of a check. The error describes the value that was found.
type Verified = Result<(), String>;

/// The built-in checks: the endpoint, the field, and the required value.
static FIELDS: [(Counter, &str, &str, Verify); 4] = [
    (
        Counter::RegistrationCount,
        "token",
        "a non-empty string",
        non_empty_string,
    ),
    (
        Counter::RegistrationCount,
        "hostname",
        "a non-empty string",
        non_empty_string,
    ),
    (
        Counter::HeartbeatCount,
        "timestamp",
        "an RFC 3339 time",
        time,
    ),
    (
        Counter::CapabilitiesCount,
        "builtin_actions",
        "a non-empty array",
        non_empty_array,
    ),
];

type Verify = fn(&Value) -> Verified;

/// The built-in checks and the `additional` checks of the matrix file, grouped by endpoint.
pub(crate) fn all(additional: &[BodyCheck]) -> Vec<(Counter, Vec<Check<'_>>)> {
    let fields = FIELDS
        .iter()
        .map(|(endpoint, name, expected, verify)| Check {
            endpoint: *endpoint,
            subject: format!("{}.{name}", endpoint.body().unwrap_or_default()),
            expected: (*expected).to_owned(),
            verify: Box::new(move |body| verify(body.get(*name).ok_or(MISSING)?)),
        });
    let mut checks: BTreeMap<Counter, Vec<Check<'_>>> = BTreeMap::new();
    for check in fields.chain(additional.iter().map(Check::of)) {
        checks.entry(check.endpoint).or_default().push(check);
    }
    checks.into_iter().collect()
}

const MISSING: &str = "missing";

impl<'c> Check<'c> {
    fn of(check: &'c BodyCheck) -> Self {
        Self {
            endpoint: check.endpoint,
            subject: check.name.clone(),
            expected: check.condition.to_string(),
            verify: Box::new(|body| {
                let value = check.pointer.find(body).ok_or(MISSING)?;
                verify(&check.condition, value)
            }),
        }
    }
}

fn verify(condition: &Condition, value: &Value) -> Verified {
    let kind = JsonType::of(value);
    match (condition, value) {
        (Condition::Present, _) => Ok(()),
        (Condition::Type(expected), _) if *expected == kind => Ok(()),
        (Condition::Equals(expected), _) if is_same(expected, value) => Ok(()),
        (Condition::Equals(expected), _) if JsonType::of(expected) == kind => {
            Err(format!("{kind} that differs"))
        }
        (Condition::Matches(pattern), Value::String(text)) if pattern.is_match(text) => Ok(()),
        (Condition::Matches(_), Value::String(_)) => Err("a string that does not match".to_owned()),
        (Condition::Type(_) | Condition::Equals(_) | Condition::Matches(_), _) => {
            Err(kind.to_string())
        }
    }
}

/// Whether the values are equal; `1` and `1.0` are the same number.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() != other.is_f64() && one.as_f64() == other.as_f64())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_in_other = |(key, value): (&String, &Value)| {
                other.get(key).is_some_and(|other| is_same(value, other))
            };
            one.len() == other.len() && one.iter().all(is_in_other)
        }
        (one, other) => one == other,
    }
}

const NOT_SENT: &str = "no body was sent";

/// Checks the last body that `party` sent to `endpoint`. Returns one row per check. If `is_optional` is set, the body
/// may be missing.
pub(crate) fn check(
    party: Party<'_>,
    endpoint: &str,
    checks: &[Check<'_>],
    body: Option<&[u8]>,
    is_optional: bool,
) -> Vec<Evidence> {
    let row = |subject: String, expected: &str, result: Verified| {
        let holds = result.is_ok();
        let seen = result.err().unwrap_or_else(|| "as expected".to_owned());
        Evidence::new(subject, expected, seen, holds).on(party)
    };
    let parsed = match body {
        None if is_optional => {
            return vec![Evidence {
                seen: NOT_SENT.to_owned(),
                ..row(endpoint.to_owned(), Evidence::NOT_CHECKED, Ok(()))
            }];
        }
        None => Err(NOT_SENT.to_owned()),
        Some(bytes) => {
            serde_json::from_slice::<Value>(bytes).map_err(|error| format!("not JSON ({error})"))
        }
    };
    match parsed {
        Err(problem) => vec![row(endpoint.to_owned(), "a JSON body", Err(problem))],
        Ok(body) => checks
            .iter()
            .map(|check| {
                let result = (check.verify)(&body);
                row(check.subject.clone(), &check.expected, result)
            })
            .collect(),
    }
}

fn non_empty_string(value: &Value) -> Verified {
    match value {
        Value::String(text) if text.is_empty() => Err("an empty string".to_owned()),
        Value::String(_) => Ok(()),
        other => Err(JsonType::of(other).to_string()),
    }
}

fn time(value: &Value) -> Verified {
    match value {
        Value::String(text) => text
            .parse::<Timestamp>()
            .map(|_| ())
            .map_err(|_| format!("the string {text:?}")),
        other => Err(JsonType::of(other).to_string()),
    }
}

fn non_empty_array(value: &Value) -> Verified {
    match value {
        Value::Array(entries) if entries.is_empty() => Err("an empty array".to_owned()),
        Value::Array(_) => Ok(()),
        other => Err(JsonType::of(other).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::matrix::{Pattern, Pointer};

    /// The failed checks of `body` at `endpoint`.
    fn failed(endpoint: &str, body: &str) -> Vec<String> {
        failed_with(&[], endpoint, body)
    }

    fn failed_with(additional: &[BodyCheck], endpoint: &str, body: &str) -> Vec<String> {
        let mut bodies = all(additional).into_iter();
        let (_, checks) = bodies
            .find(|(counter, _)| counter.body() == Some(endpoint))
            .unwrap();
        let rows = check(None, endpoint, &checks, Some(body.as_bytes()), true);
        let failed = rows.into_iter().filter(|row| !row.holds);
        failed
            .map(|row| format!("{}: {}", row.subject, row.seen))
            .collect()
    }

    #[test]
    fn good_bodies_pass() {
        assert!(failed("register", r#"{"token":"t","hostname":"h"}"#).is_empty());
        // Real agents send the zero time, which is valid.
        assert!(
            failed(
                "heartbeat",
                r#"{"node_id":"","timestamp":"0001-01-01T00:00:00Z"}"#
            )
            .is_empty()
        );
        assert!(failed("capabilities", r#"{"builtin_actions":[{}]}"#).is_empty());
    }

    #[test]
    fn failed_checks_name_the_field_and_the_value_that_was_found() {
        for (endpoint, body, expected) in [
            ("register", r#"{"hostname":"h"}"#, "register.token: missing"),
            (
                "register",
                r#"{"token":"","hostname":"h"}"#,
                "register.token: an empty string",
            ),
            (
                "register",
                r#"{"token":"t","hostname":7}"#,
                "register.hostname: a number",
            ),
            (
                "heartbeat",
                "hello",
                "heartbeat: not JSON (expected value at line 1 column 1)",
            ),
            ("heartbeat", "{}", "heartbeat.timestamp: missing"),
            (
                "heartbeat",
                r#"{"timestamp":"noon"}"#,
                "heartbeat.timestamp: the string \"noon\"",
            ),
            ("heartbeat", "[]", "heartbeat.timestamp: missing"),
            (
                "capabilities",
                r#"{"builtin_actions":[]}"#,
                "capabilities.builtin_actions: an empty array",
            ),
            (
                "capabilities",
                r#"{"builtin_actions":{}}"#,
                "capabilities.builtin_actions: an object",
            ),
        ] {
            assert_eq!(failed(endpoint, body), [expected], "{body}");
        }
    }

    #[test]
    fn a_missing_body_fails_unless_it_is_optional() {
        let rows = |is_optional| check(None, "heartbeat", &all(&[])[1].1, None, is_optional);
        assert_eq!(rows(false)[0].seen, "no body was sent");
        assert!(!rows(false)[0].holds);
        assert!(rows(true)[0].holds && !rows(true)[0].is_checked());
    }

    /// The failed checks if `/a/0` must meet `condition` and the array `a` contains `values`.
    fn additional(condition: Condition, values: &str) -> Vec<String> {
        let check = BodyCheck {
            name: "own".to_owned(),
            endpoint: Counter::DriftCount,
            pointer: Pointer::parse("/a/0").unwrap(),
            condition,
        };
        failed_with(&[check], "drift", &format!("{{\"a\": [{values}]}}"))
    }

    #[test]
    fn additional_conditions_hold_or_name_what_was_found_instead() {
        let equals = |value| Condition::Equals(value);
        let matches = || Condition::Matches(Pattern::parse("^a+$").unwrap());
        for (condition, good, bad, seen) in [
            (Condition::Present, "null", "", "missing"),
            (Condition::Type(JsonType::Array), "[]", "{}", "an object"),
            (
                equals(json!("a")),
                "\"a\"",
                "\"b\"",
                "a string that differs",
            ),
            (equals(json!(1)), "1.0", "true", "a boolean"),
            (
                equals(json!({"b": [1.0]})),
                "{\"b\": [1]}",
                "{\"b\": [1, 2]}",
                "an object that differs",
            ),
            (
                equals(json!({})),
                "{}",
                "{\"b\": 1}",
                "an object that differs",
            ),
            (
                equals(json!(u64::MAX)),
                "18446744073709551615",
                "18446744073709551614",
                "a number that differs",
            ),
            (
                matches(),
                "\"aa\"",
                "\"ab\"",
                "a string that does not match",
            ),
            (matches(), "\"a\"", "7", "a number"),
        ] {
            assert_eq!(
                additional(condition.clone(), good),
                [] as [String; 0],
                "{condition:?}"
            );
            assert_eq!(additional(condition, bad), [format!("own: {seen}")]);
        }
    }
}
