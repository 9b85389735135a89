//! The shapes of values. A [`Shape`] reads a value of the file or reports a problem, and describes valid values as JSON
//! Schema.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
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

    /// Accepts only valid values. `message` turns any other value and its key into the error message.
    pub(super) fn checked<M: Into<String>>(
        self,
        is_valid: impl Fn(&V) -> bool + 'static,
        message: impl Fn(&V, &str) -> M + 'static,
        help: impl Into<String>,
    ) -> Self {
        let (read, help) = (self.read, help.into());
        let read = move |entry: Entry<'_>| {
            let value = read(entry)?;
            if is_valid(&value) {
                return Some(value);
            }
            entry.fail(message(&value, entry.key), &help)
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
    let read = |entry: Entry<'_>| {
        let value = entry.value.as_bool();
        value.or_else(|| entry.wrong_type(BOOLEAN))
    };
    Shape::new(json!({ "type": "boolean" }), read).written(|value| json!(value))
}

/// Any text.
pub(super) fn text() -> Shape<String> {
    Shape::new(json!({ "type": "string" }), |entry| {
        entry.text().map(str::to_owned)
    })
}

/// Text that can be a name: not empty, and without control characters.
pub(super) fn name() -> Shape<String> {
    const HELP: &str = "give it a value, or remove the key";
    let not_empty = text().checked(
        |text| !text.trim().is_empty(),
        |_, key| format!("`{key}` is empty"),
        HELP,
    );
    let named = not_empty.checked(
        |text| !text.chars().any(char::is_control),
        |_, key| format!("`{key}` contains a control character"),
        HELP,
    );
    named.with("minLength", 1)
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
        let checked = self.checked(
            move |text| expression.is_match(text),
            move |text, _| format!("`{text}` {problem}"),
            help,
        );
        checked.with("pattern", pattern)
    }
}

/// A path, relative to the matrix file.
pub(super) fn path() -> Shape<PathBuf> {
    name().map(PathBuf::from).written(|path| json!(path))
}

/// An integer in `range`; `help` explains the limits.
pub(super) fn integer<N: TryFrom<u64> + 'static>(
    range: RangeInclusive<u64>,
    help: impl Into<String>,
) -> Shape<N> {
    let schema = json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() });
    let help = help.into();
    Shape::new(schema, move |entry| {
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
    })
}

/// One of several words.
pub(super) fn choice<T: Copy + PartialEq + 'static>(
    choices: impl IntoIterator<Item = (&'static str, T)>,
) -> Shape<T> {
    let (words, values): (Vec<_>, Vec<_>) = choices.into_iter().unzip();
    let schema = json!({ "enum": words });
    let (written, meant) = (words.clone(), values.clone());
    let read = move |entry: Entry<'_>| {
        let text = entry.text()?;
        if let Some(index) = words.iter().position(|word| *word == text) {
            return Some(values[index]);
        }
        let message = format!("`{}` can't be `{text}`", entry.key);
        entry.fail(message, suggestion(text, &words, "one of"))
    };
    Shape::new(schema, read).written(move |value| {
        let index = meant.iter().position(|known| known == value);
        json!(index.map(|index| written[index]))
    })
}

/// Text that `parse` accepts. An error of `parse` becomes the message.
pub(super) fn parsed<T: 'static, E: Display>(
    parse: impl Fn(&str) -> Result<T, E> + 'static,
    help: &'static str,
) -> Shape<T> {
    text().then(move |text, entry| match parse(&text) {
        Ok(value) => Some(value),
        Err(error) => entry.fail(error.to_string(), help),
    })
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

/// An array. Elements with problems are left out.
pub(super) fn list<V: 'static>(element: Shape<V>) -> Shape<Vec<V>> {
    let schema = json!({ "type": "array", "items": element.schema });
    Shape::new(schema, move |entry| {
        let elements = entry.list()?.into_iter();
        Some(elements.filter_map(|entry| element.read(entry)).collect())
    })
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
