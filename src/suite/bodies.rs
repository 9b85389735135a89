//! What the request bodies must have. Pure; what a body holds is never repeated, for it may be a secret.

use jiff::Timestamp;
use serde_json::Value;

use crate::event::Evidence;
use crate::matrix::Counter;

/// A field that a body must have, and what is wrong with it where something is.
pub(crate) type Check = (&'static str, &'static str, fn(&Value) -> Result<(), String>);

/// The bodies that are looked at: the counter of their endpoint, and its checks.
pub(crate) const BODIES: [(Counter, &[Check]); 3] = [
    (
        Counter::RegistrationCount,
        &[
            ("token", "a non-empty string", |body| {
                non_empty(body, "token")
            }),
            ("hostname", "a non-empty string", |body| {
                non_empty(body, "hostname")
            }),
        ],
    ),
    (
        Counter::HeartbeatCount,
        &[("timestamp", "an RFC 3339 time", |body| {
            time(body, "timestamp")
        })],
    ),
    (
        Counter::CapabilitiesCount,
        &[("builtin_actions", "an array of at least 1", |body| {
            entries(body, "builtin_actions")
        })],
    ),
];

const NOT_SENT: &str = "no body was sent";

/// Looks at the body that `node` sent last to `endpoint`; a row a check. One that is optional need not have been sent.
pub(crate) fn check(
    node: &str,
    endpoint: &str,
    checks: &[Check],
    body: Option<&[u8]>,
    is_optional: bool,
) -> Vec<Evidence> {
    let row = |subject: String, expected: &str, result: Result<(), String>| Evidence {
        node: Some(node.to_owned()),
        subject,
        expected: expected.to_owned(),
        holds: result.is_ok(),
        seen: result.err().unwrap_or_else(|| "as expected".to_owned()),
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
            .map(|(field, expected, check)| {
                row(format!("{endpoint}.{field}"), expected, check(&body))
            })
            .collect(),
    }
}

fn field<'b>(body: &'b Value, name: &str) -> Result<&'b Value, String> {
    body.get(name).ok_or_else(|| "missing".to_owned())
}

fn non_empty(body: &Value, name: &str) -> Result<(), String> {
    match field(body, name)? {
        Value::String(text) if text.is_empty() => Err("an empty string".to_owned()),
        Value::String(_) => Ok(()),
        other => Err(kind(other)),
    }
}

fn time(body: &Value, name: &str) -> Result<(), String> {
    match field(body, name)? {
        Value::String(text) => text
            .parse::<Timestamp>()
            .map(|_| ())
            .map_err(|_| format!("the string {text:?}")),
        other => Err(kind(other)),
    }
}

fn entries(body: &Value, name: &str) -> Result<(), String> {
    match field(body, name)? {
        Value::Array(entries) if entries.is_empty() => Err("an empty array".to_owned()),
        Value::Array(_) => Ok(()),
        other => Err(kind(other)),
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a check of `endpoint` sees wrong with `body`.
    fn wrong(endpoint: &str, body: &str) -> Vec<String> {
        let mut bodies = BODIES.iter();
        let (_, checks) = bodies
            .find(|(counter, _)| counter.body() == Some(endpoint))
            .unwrap();
        let rows = check("n1", endpoint, checks, Some(body.as_bytes()), true);
        let open = rows.into_iter().filter(|row| !row.holds);
        open.map(|row| format!("{}: {}", row.subject, row.seen))
            .collect()
    }

    #[test]
    fn good_bodies_pass() {
        assert!(wrong("register", r#"{"token":"t","hostname":"h"}"#).is_empty());
        // Seen in the field: the zero time is a time.
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
    fn bad_bodies_say_what_is_wrong_and_where() {
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
    fn no_body_is_a_bad_body_unless_it_is_optional() {
        let rows = |is_optional| check("n1", "heartbeat", BODIES[1].1, None, is_optional);
        assert_eq!(rows(false)[0].seen, "no body was sent");
        assert!(!rows(false)[0].holds);
        assert!(rows(true)[0].holds && !rows(true)[0].is_checked());
    }
}
