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

/// The built-in checks: the endpoint, the field, and the form of its value.
const FIELDS: [(Counter, &str, Form); 4] = [
    (Counter::RegistrationCount, "token", Form::Text),
    (Counter::RegistrationCount, "hostname", Form::Text),
    (Counter::HeartbeatCount, "timestamp", Form::Time),
    (Counter::CapabilitiesCount, "builtin_actions", Form::List),
];

/// A form of values.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Time,
    List,
}

impl Form {
    const fn expected(self) -> &'static str {
        match self {
            Self::Text => "a non-empty string",
            Self::Time => "an RFC 3339 time",
            Self::List => "a non-empty array",
        }
    }

    fn verify(self, value: &Value) -> Verified {
        match (self, value) {
            (Self::Text, Value::String(text)) if text.is_empty() => Err("an empty string".into()),
            (Self::List, Value::Array(list)) if list.is_empty() => Err("an empty array".into()),
            (Self::Text, Value::String(_)) | (Self::List, Value::Array(_)) => Ok(()),
            (Self::Time, Value::String(text)) => match text.parse::<Timestamp>() {
                Ok(_) => Ok(()),
                Err(_) => Err(format!("the string {text:?}")),
            },
            (Self::Text | Self::Time | Self::List, other) => Err(JsonType::of(other).to_string()),
        }
    }
}

/// The built-in checks and the `additional` checks of the matrix file, grouped by endpoint.
pub(crate) fn all(additional: &[BodyCheck]) -> Vec<(Counter, Vec<Check<'_>>)> {
    let fields = FIELDS.into_iter().map(|(endpoint, name, form)| Check {
        endpoint,
        subject: format!("{}.{name}", endpoint.body().unwrap_or_default()),
        expected: form.expected().to_owned(),
        verify: Box::new(move |body| form.verify(body.get(name).ok_or(MISSING)?)),
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
    let body = match parsed {
        Err(problem) => return vec![row(endpoint.to_owned(), "a JSON body", Err(problem))],
        Ok(body) => body,
    };
    let verified = checks.iter().map(|check| {
        let result = (check.verify)(&body);
        row(check.subject.clone(), &check.expected, result)
    });
    verified.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::matrix::{Pattern, Pointer};

    /// The failed checks of `body` at `endpoint`.
    fn failed(additional: &[BodyCheck], endpoint: &str, body: &str) -> Vec<String> {
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
        for (endpoint, body) in [
            ("register", r#"{"token":"t","hostname":"h"}"#),
            // Real agents send the zero time, which is valid.
            ("heartbeat", r#"{"timestamp":"0001-01-01T00:00:00Z"}"#),
            ("capabilities", r#"{"builtin_actions":[{}]}"#),
        ] {
            assert_eq!(failed(&[], endpoint, body), [] as [String; 0]);
        }
    }

    #[test]
    fn failed_checks_name_the_field_and_the_value_that_was_found() {
        let shows = |endpoint: &str, body: &str, expected: &str| {
            let failed = failed(&[], endpoint, body);
            assert_eq!(failed, [format!("{endpoint}{expected}")], "{body}");
        };
        let register = |body, expected| shows("register", body, expected);
        register(r#"{"hostname":"h"}"#, ".token: missing");
        let no_token = r#"{"token":"","hostname":"h"}"#;
        register(no_token, ".token: an empty string");
        let number = r#"{"token":"t","hostname":7}"#;
        register(number, ".hostname: a number");
        let heartbeat = |body, expected| shows("heartbeat", body, expected);
        let no_value = ": not JSON (expected value at line 1 column 1)";
        heartbeat("hello", no_value);
        heartbeat("{}", ".timestamp: missing");
        heartbeat("[]", ".timestamp: missing");
        let no_time = ".timestamp: the string \"noon\"";
        heartbeat(r#"{"timestamp":"noon"}"#, no_time);
        let capabilities = |body, expected: &str| {
            let expected = format!(".builtin_actions: {expected}");
            shows("capabilities", body, &expected);
        };
        capabilities(r#"{"builtin_actions":[]}"#, "an empty array");
        capabilities(r#"{"builtin_actions":{}}"#, "an object");
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
        failed(&[check], "drift", &format!("{{\"a\": [{values}]}}"))
    }

    #[test]
    fn additional_conditions_hold_or_name_what_was_found_instead() {
        let holds = |condition: &Condition, good: &str, bad: &str, seen: &str| {
            let failed = additional(condition.clone(), good);
            assert_eq!(failed, [] as [String; 0], "{condition:?}");
            let failed = additional(condition.clone(), bad);
            assert_eq!(failed, [format!("own: {seen}")]);
        };
        holds(&Condition::Present, "null", "", "missing");
        let list = Condition::Type(JsonType::Array);
        holds(&list, "[]", "{}", "an object");
        let equals = |value, good, bad, seen| {
            holds(&Condition::Equals(value), good, bad, seen);
        };
        equals(json!(1), "1.0", "true", "a boolean");
        let differs = "an object that differs";
        equals(json!({}), "{}", r#"{"b": 1}"#, differs);
        let nested = r#"{"b": [1, 2]}"#;
        equals(json!({"b": [1.0]}), r#"{"b": [1]}"#, nested, differs);
        let other = "a string that differs";
        equals(json!("a"), r#""a""#, r#""b""#, other);
        let (most, less) = ("18446744073709551615", "18446744073709551614");
        equals(json!(u64::MAX), most, less, "a number that differs");
        let pattern = Condition::Matches(Pattern::parse("^a+$").unwrap());
        let no_match = "a string that does not match";
        holds(&pattern, r#""aa""#, r#""ab""#, no_match);
        holds(&pattern, r#""a""#, "7", "a number");
    }
}
