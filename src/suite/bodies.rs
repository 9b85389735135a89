//! The required content of request bodies. Pure. The content of a body is never repeated in a message, because it may
//! be a secret.

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
    judge: Box<dyn Fn(&Value) -> Judgement + Send + Sync + 'c>,
}

/// What is wrong, if the check fails.
type Judgement = Result<(), String>;

/// The checks of every agent's bodies: the endpoint, the field, and the required value.
static FIELDS: [(Counter, &str, &str, Judge); 4] = [
    (
        Counter::RegistrationCount,
        "token",
        "a non-empty string",
        non_empty,
    ),
    (
        Counter::RegistrationCount,
        "hostname",
        "a non-empty string",
        non_empty,
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
        "an array of at least 1",
        entries,
    ),
];

type Judge = fn(&Value) -> Judgement;

/// The checks of every agent's bodies and the `adds` of the user, grouped by endpoint.
pub(crate) fn all(adds: &[BodyCheck]) -> Vec<(Counter, Vec<Check<'_>>)> {
    let fields = FIELDS
        .iter()
        .map(|(endpoint, name, expected, judge)| Check {
            endpoint: *endpoint,
            subject: format!("{}.{name}", endpoint.body().unwrap_or_default()),
            expected: (*expected).to_owned(),
            judge: Box::new(move |body| judge(body.get(*name).ok_or(MISSING)?)),
        });
    let mut checks: BTreeMap<Counter, Vec<Check<'_>>> = BTreeMap::new();
    for check in fields.chain(adds.iter().map(Check::of)) {
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
            judge: Box::new(|body| {
                let value = check.pointer.find(body).ok_or(MISSING)?;
                holds(&check.condition, value)
            }),
        }
    }
}

fn holds(condition: &Condition, value: &Value) -> Result<(), String> {
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

/// Checks the last body that `node` sent to `endpoint`, with one row per check. An optional body may be missing.
pub(crate) fn check(
    party: Party<'_>,
    endpoint: &str,
    checks: &[Check<'_>],
    body: Option<&[u8]>,
    is_optional: bool,
) -> Vec<Evidence> {
    let row = |subject: String, expected: &str, result: Result<(), String>| {
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
            serde_json::from_slice::<Value>(bytes).map_err(|error| format!("no JSON: {error}"))
        }
    };
    match parsed {
        Err(problem) => vec![row(endpoint.to_owned(), "a JSON body", Err(problem))],
        Ok(body) => checks
            .iter()
            .map(|check| {
                let result = (check.judge)(&body);
                row(check.subject.clone(), &check.expected, result)
            })
            .collect(),
    }
}

fn non_empty(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) if text.is_empty() => Err("an empty string".to_owned()),
        Value::String(_) => Ok(()),
        other => Err(JsonType::of(other).to_string()),
    }
}

fn time(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => text
            .parse::<Timestamp>()
            .map(|_| ())
            .map_err(|_| format!("the string {text:?}")),
        other => Err(JsonType::of(other).to_string()),
    }
}

fn entries(value: &Value) -> Result<(), String> {
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

    /// What the checks of `endpoint` find wrong with `body`.
    fn wrong(endpoint: &str, body: &str) -> Vec<String> {
        wrong_with(&[], endpoint, body)
    }

    fn wrong_with(adds: &[BodyCheck], endpoint: &str, body: &str) -> Vec<String> {
        let mut bodies = all(adds).into_iter();
        let (_, checks) = bodies
            .find(|(counter, _)| counter.body() == Some(endpoint))
            .unwrap();
        let rows = check(None, endpoint, &checks, Some(body.as_bytes()), true);
        let open = rows.into_iter().filter(|row| !row.holds);
        open.map(|row| format!("{}: {}", row.subject, row.seen))
            .collect()
    }

    #[test]
    fn good_bodies_pass() {
        assert!(wrong("register", r#"{"token":"t","hostname":"h"}"#).is_empty());
        // Seen in practice: the zero time is a valid time.
        assert!(
            wrong(
                "heartbeat",
                r#"{"node_id":"","timestamp":"0001-01-01T00:00:00Z"}"#
            )
            .is_empty()
        );
        assert!(wrong("capabilities", r#"{"builtin_actions":[{}]}"#).is_empty());
    }

    #[test]
    fn failed_checks_say_what_is_wrong_and_where() {
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
                "heartbeat: no JSON: expected value at line 1 column 1",
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
            assert_eq!(wrong(endpoint, body), [expected], "{body}");
        }
    }

    #[test]
    fn a_missing_body_fails_unless_it_is_optional() {
        let rows = |is_optional| check(None, "heartbeat", &all(&[])[1].1, None, is_optional);
        assert_eq!(rows(false)[0].seen, "no body was sent");
        assert!(!rows(false)[0].holds);
        assert!(rows(true)[0].holds && !rows(true)[0].is_checked());
    }

    /// What `condition` on `/a/0` finds wrong with the array `a` of `values`.
    fn added(condition: Condition, values: &str) -> Vec<String> {
        let adds = BodyCheck {
            name: "own".to_owned(),
            endpoint: Counter::DriftCount,
            pointer: Pointer::parse("/a/0").unwrap(),
            condition,
        };
        wrong_with(&[adds], "drift", &format!("{{\"a\": [{values}]}}"))
    }

    #[test]
    fn conditions_of_the_user_hold_or_say_what_was_found_instead() {
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
                added(condition.clone(), good),
                [] as [String; 0],
                "{condition:?}"
            );
            assert_eq!(added(condition, bad), [format!("own: {seen}")]);
        }
    }
}
