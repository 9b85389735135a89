//! The checks that a user adds to the suite, in particular for the content of request bodies.

use std::fmt;

use regex::Regex;
use serde_json::Value;

use super::{Counter, HostCommand, text_types};

/// What the matrix file adds to the suite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    /// `[[checks]]`, in order.
    pub bodies: Vec<BodyCheck>,
    /// `[[commands]]`, in order.
    pub commands: Vec<HostCommand>,
}

/// An entry of `[[checks]]`: a condition on a value in the last body that each node sent to an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct BodyCheck {
    /// The unique name in reports.
    pub name: String,
    /// The counter of the endpoint. Requests to this endpoint have a [body](Counter::body).
    pub endpoint: Counter,
    /// The place of the value in the body.
    pub pointer: Pointer,
    /// The condition on the value.
    pub condition: Condition,
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The value exists.
    Present,
    /// The value has this type.
    Type(JsonType),
    /// The value equals this one. `1` and `1.0` are equal.
    Equals(Value),
    /// The value is a string that the regular expression matches.
    Matches(Pattern),
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => formatter.write_str("present"),
            Self::Type(kind) => kind.fmt(formatter),
            Self::Equals(value) => value.fmt(formatter),
            Self::Matches(pattern) => write!(formatter, "a string that matches `{pattern}`"),
        }
    }
}

/// The types of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonType {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// An integer or a fraction.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl JsonType {
    /// Every type, by its name in the file.
    pub const NAMES: [(&str, Self); 6] = [
        ("string", Self::String),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("array", Self::Array),
        ("object", Self::Object),
        ("null", Self::Null),
    ];

    /// The type of `value`.
    pub const fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

impl fmt::Display for JsonType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

/// The text isn't a valid JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// The text isn't empty and doesn't start with `/`.
    #[error("a JSON pointer starts with `/`, unless it is empty")]
    Start,
    /// A `~` isn't followed by `0` or `1`.
    #[error("in a JSON pointer, `~` is written as `~0`, and `/` within a key as `~1`")]
    Escape,
}

impl Pointer {
    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(PointerError::Start);
        }
        let mut escapes = text.split('~').skip(1);
        if escapes.any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(PointerError::Escape);
        }
        Ok(Self(text.to_owned()))
    }

    /// The value in `body` that the pointer refers to.
    pub fn find<'b>(&self, body: &'b Value) -> Option<&'b Value> {
        body.pointer(&self.0)
    }
}

text_types!(Pointer);

/// A regular expression. Two regular expressions are equal if their source texts are equal.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles `text`.
    pub fn parse(text: &str) -> Result<Self, regex::Error> {
        Regex::new(text).map(Self)
    }

    /// Whether the expression matches `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.0.as_str())
    }
}
