//! The shapes of values. A [`Shape`] reads a value of the file or reports a problem, and describes valid values as JSON
//! Schema.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use serde::Serialize;
use serde_json::{Value, json};

use super::reader::{BOOLEAN, Entry, INTEGER, Located};
use crate::matrix::nearest::suggestion;
use crate::matrix::problem::Problem;
use crate::matrix::{DurationError, TIMEOUTS, parse_duration};

/// The valid values of a key, and how to read them.
pub(super) struct Shape<V> {
    /// The JSON Schema. It may accept more values than the reader does, but never fewer.
    pub(super) schema: Value,
    read: Box<dyn Fn(Entry<'_>) -> Option<V>>,
    write: Box<dyn Fn(&V) -> Value>,
}

impl<V: 'static> Shape<V> {
    /// A shape whose `read` returns `None` after it has reported a problem.
    pub(super) fn new(schema: Value, read: impl Fn(Entry<'_>) -> Option<V> + 'static) -> Self {
        Self {
            schema,
            read: Box::new(read),
            write: Box::new(|_| Value::Null),
        }
    }

    /// Reads a value; `None` if a problem has been reported.
    pub(super) fn read(&self, entry: Entry<'_>) -> Option<V> {
        (self.read)(entry)
    }

    /// A default as it is written in the file; `null` if it can't be written.
    pub(super) fn write(&self, value: &V) -> Value {
        (self.write)(value)
    }

    /// The same shape. Its defaults are documented in the form that `write` returns.
    pub(super) fn written(mut self, write: impl Fn(&V) -> Value + 'static) -> Self {
        self.write = Box::new(write);
        self
    }

    /// Passes the value to `next`, which may convert or reject it.
    pub(super) fn then<W: 'static>(
        self,
        next: impl Fn(V, Entry<'_>) -> Option<W> + 'static,
    ) -> Shape<W> {
        let read = self.read;
        Shape::new(self.schema, move |entry| next(read(entry)?, entry))
    }

    /// Rejects invalid values. `problem` gets a value and its key, and returns a message if the value is invalid.
    pub(super) fn checked<M: Into<String>>(
        self,
        problem: impl Fn(&V, &str) -> Option<M> + 'static,
        help: impl Into<String>,
    ) -> Self {
        let (read, help) = (self.read, help.into());
        let read = move |entry: Entry<'_>| {
            let value = read(entry)?;
            match problem(&value, entry.key) {
                None => Some(value),
                Some(message) => entry.fail(message, &help),
            }
        };
        Self {
            read: Box::new(read),
            ..self
        }
    }

    /// Checks the entry before it is read. `check` reports a problem and returns `None` if the entry must not be read.
    pub(super) fn guarded(self, check: impl Fn(Entry<'_>) -> Option<()> + 'static) -> Self {
        let read = self.read;
        Self {
            read: Box::new(move |entry| check(entry).and_then(|()| read(entry))),
            ..self
        }
    }

    /// Converts the value.
    pub(super) fn map<W: 'static>(self, convert: impl Fn(V) -> W + 'static) -> Shape<W> {
        self.then(move |value, _| Some(convert(value)))
    }

    /// Adds the place to the value.
    pub(super) fn located(self) -> Shape<Located<V>> {
        self.then(|value, Entry { span, .. }| Some(Located { value, span }))
    }

    /// Adds a keyword to the schema.
    pub(super) fn with(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.schema[keyword] = value.into();
        self
    }
}

/// `true` or `false`.
pub(super) fn boolean() -> Shape<bool> {
    let read = |entry: Entry<'_>| entry.value.as_bool().or_else(|| entry.wrong_type(BOOLEAN));
    Shape::new(json!({ "type": "boolean" }), read).written(|value| json!(value))
}

/// Any text.
pub(super) fn text() -> Shape<String> {
    let read = |entry: Entry<'_>| entry.text().map(str::to_owned);
    Shape::new(json!({ "type": "string" }), read)
}

/// Text that can be a name: not empty, and without control characters.
pub(super) fn name() -> Shape<String> {
    let problem = |text: &String, key: &str| {
        if text.trim().is_empty() {
            return Some(format!("`{key}` is empty"));
        }
        let has_control_character = text.contains(char::is_control);
        has_control_character.then(|| format!("`{key}` contains a control character"))
    };
    let name = text().checked(problem, "give it a value, or remove the key");
    name.with("minLength", 1)
}

impl Shape<String> {
    /// Accepts only text that matches `pattern`. For any other text, the message is the text followed by `problem`.
    pub(super) fn matching(
        self,
        pattern: &'static str,
        problem: &'static str,
        help: &'static str,
    ) -> Self {
        let expression = Regex::new(pattern).expect("the pattern is a valid regular expression");
        let problem = move |text: &String, _: &str| {
            let is_invalid = !expression.is_match(text);
            is_invalid.then(|| format!("`{text}` {problem}"))
        };
        self.checked(problem, help).with("pattern", pattern)
    }
}

/// A path, relative to the matrix file.
pub(super) fn path() -> Shape<PathBuf> {
    name().map(PathBuf::from).written(|path| json!(path))
}

/// An integer in `range`; `help` explains the limits.
pub(super) fn integer<N: TryFrom<u64> + Serialize + 'static>(
    range: RangeInclusive<u64>,
    help: impl Into<String>,
) -> Shape<N> {
    let schema = json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() });
    let help = help.into();
    let read = move |entry: Entry<'_>| {
        let Some(integer) = entry.value.as_integer() else {
            return entry.wrong_type(INTEGER);
        };
        // The integer may be negative, or have more than 64 bits.
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if let Some(number) = number.and_then(|number| N::try_from(number).ok()) {
            return Some(number);
        }
        let message = format!("`{}` can't be {}", entry.key, entry.source());
        entry.reject(Problem::at(entry.span, message, &help).labelled("out of range"))
    };
    Shape::new(schema, read).written(|number| json!(number))
}

/// One of several words. Each value is displayed as its word.
pub(super) fn choice<T: Copy + Display + 'static>(
    choices: impl IntoIterator<Item = (&'static str, T)>,
) -> Shape<T> {
    let (words, values): (Vec<_>, Vec<_>) = choices.into_iter().unzip();
    let schema = json!({ "enum": words });
    let read = move |entry: Entry<'_>| {
        let text = entry.text()?;
        if let Some(index) = words.iter().position(|word| *word == text) {
            return Some(values[index]);
        }
        let message = format!("`{}` can't be `{text}`", entry.key);
        entry.fail(message, suggestion(text, &words, "one of"))
    };
    Shape::new(schema, read).written(|value| json!(value.to_string()))
}

/// Text that `parse` accepts. An error of `parse` becomes the message.
pub(super) fn parsed<T: Display + 'static, E: Display>(
    parse: impl Fn(&str) -> Result<T, E> + 'static,
    help: &'static str,
) -> Shape<T> {
    let parsed = text().then(move |text, entry| match parse(&text) {
        Ok(value) => Some(value),
        Err(error) => entry.fail(error.to_string(), help),
    });
    parsed.written(|value| json!(value.to_string()))
}

/// A timeout or a delay.
pub(super) fn duration() -> Shape<Duration> {
    let examples = "write a number with a unit, such as `\"500ms\"`, `\"90s\"` or `\"2m\"`";
    let read = move |entry: Entry<'_>| {
        if entry.value.is_integer() {
            let message = format!("`{}` is a duration, which needs a unit", entry.key);
            let help = format!("for example in seconds: `\"{}s\"`", entry.source());
            return entry.fail(message, help);
        }
        match parse_duration(entry.text()?, &TIMEOUTS) {
            Ok(duration) => Some(duration),
            Err(DurationError::Form(error)) => {
                entry.fail(format!("not a duration: {error}"), examples)
            }
            Err(error) => entry.fail(format!("`{}` {error}", entry.key), examples),
        }
    };
    Shape::new(json!({ "type": "string" }), read)
        .written(|duration| json!(format!("{}s", duration.as_secs())))
}

/// The elements of an array, or the tables of a table. Those with problems are left out.
#[derive(Clone, Debug)]
pub(super) struct Elements<V> {
    pub(super) list: Vec<V>,
    /// Whether every element could be read. If so, the file has no others.
    pub(super) complete: bool,
}

impl<V> Elements<V> {
    pub(super) const NONE: Self = Self {
        list: Vec::new(),
        complete: true,
    };
    /// The elements of something that couldn't be read at all.
    pub(super) const UNREADABLE: Self = Self {
        list: Vec::new(),
        complete: false,
    };
}

impl<V> FromIterator<Option<V>> for Elements<V> {
    fn from_iter<I: IntoIterator<Item = Option<V>>>(read: I) -> Self {
        let mut elements = Self::NONE;
        for element in read {
            elements.complete &= element.is_some();
            elements.list.extend(element);
        }
        elements
    }
}

/// An array, with information about its completeness.
pub(super) fn elements<V: 'static>(element: Shape<V>) -> Shape<Elements<V>> {
    let schema = json!({ "type": "array", "items": element.schema });
    Shape::new(schema, move |entry| {
        let Some(elements) = entry.list() else {
            return Some(Elements::UNREADABLE);
        };
        let elements = elements.into_iter();
        Some(elements.map(|entry| element.read(entry)).collect())
    })
}

/// An array. Elements with problems are left out.
pub(super) fn list<V: 'static>(element: Shape<V>) -> Shape<Vec<V>> {
    elements(element).map(|elements| elements.list)
}

/// A table with arbitrary keys. Entries with problems are left out.
pub(super) fn map<V: 'static>(value: Shape<V>) -> Shape<BTreeMap<String, V>> {
    let schema = json!({ "type": "object", "additionalProperties": value.schema });
    Shape::new(schema, move |entry| {
        let table = entry.table(format!("`{}`", entry.key))?;
        let entries = table.entries();
        let read = entries.filter_map(|entry| Some((entry.key.to_owned(), value.read(entry)?)));
        Some(read.collect())
    })
}
