//! A typed view of the parsed document that reports every problem at its place and continues.
//!
//! Each method returns `None` if it has reported a problem. This module knows TOML, but not the matrix.

use std::fmt::Display;
use std::ops::RangeInclusive;

use miette::SourceSpan;
use toml::de::{DeInteger, DeTable, DeValue};

use super::report::Report;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;

/// Keys that had another name once, with their current one. An error about the old name states the new one.
const RENAMED: [(&str, &str); 4] = [
    ("tag", "image"),
    ("tuned", "fast-setup"),
    ("prefix", "cluster-prefix"),
    ("restart", "agents"),
];

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) span: SourceSpan,
}

/// The type that a value must have, which determines the message and the help.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Text,
    Integer,
    Boolean,
    List,
    Table,
}

impl Expected {
    const fn words(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Integer => "an integer",
            Self::Boolean => "`true` or `false`",
            Self::List => "an array",
            Self::Table => "a table",
        }
    }
}

/// A table, with its name for messages.
#[derive(Clone, Debug)]
pub(super) struct Table<'d> {
    name: String,
    /// Its header, or the whole table if it is an inline table.
    pub(super) span: SourceSpan,
    entries: &'d DeTable<'d>,
    pub(super) report: &'d Report<'d>,
}

impl<'d> Table<'d> {
    /// The document itself.
    pub(super) fn root(entries: &'d DeTable<'d>, report: &'d Report<'d>) -> Self {
        Self {
            name: "the file".to_owned(),
            span: (0..0).into(),
            entries,
            report,
        }
    }

    /// Reports every key that isn't in `known`.
    pub(super) fn only(&self, known: &[&str]) {
        let strangers = self.entries().filter(|entry| !known.contains(&entry.key));
        for entry in strangers {
            self.reject(entry, known);
        }
    }

    /// Reports a key that isn't in `known`.
    pub(super) fn reject(&self, entry: Entry<'_>, known: &[&str]) {
        let message = format!("unknown key `{}` in {}", entry.key, self.name);
        let renamed = RENAMED
            .iter()
            .find(|(old, new)| *old == entry.key && known.contains(new));
        let help = match (renamed, nearest(entry.key, known.iter().copied())) {
            (Some((_, new)), _) => format!("it is called `{new}` now"),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => format!("known here: {}", quoted(known)),
        };
        self.report
            .add(Problem::at(entry.key_span, message, "not known here").with_help(help));
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry<'d>> {
        let (key, value) = self.entries.get_key_value(key)?;
        Some(self.entry(key, value))
    }

    /// The entry, which is required.
    pub(super) fn require(&self, key: &str, example: &str) -> Option<Entry<'d>> {
        let found = self.get(key);
        if found.is_none() {
            self.report.add_missing(
                Problem::at(self.span, format!("{} has no `{key}`", self.name), "")
                    .with_help(format!("add `{example}`")),
            );
        }
        found
    }

    /// The table under `key`, whose entries are called `name` in messages.
    pub(super) fn table(&self, key: &str) -> Option<Self> {
        self.get(key)?.table(format!("`[{key}]`"))
    }

    /// The tables in the array under `key`, which is called `path` in messages.
    pub(super) fn tables(&self, key: &str, path: &str) -> Vec<Self> {
        let Some(entry) = self.get(key) else {
            return Vec::new();
        };
        if entry.value.is_table() {
            let message = format!("`{path}` must be an array of tables");
            let help = format!("its header has two brackets: `[[{path}]]`");
            entry.problem(message, "", help);
            return Vec::new();
        }
        let elements = entry.list().into_iter().flatten();
        elements
            .filter_map(|element| element.table(format!("`[[{path}]]`")))
            .collect()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'d>> {
        self.entries
            .iter()
            .map(|(key, value)| self.entry(key, value))
    }

    fn entry(
        &self,
        key: &'d toml::Spanned<toml::de::DeString<'d>>,
        value: &'d toml::Spanned<DeValue<'d>>,
    ) -> Entry<'d> {
        Entry {
            key: key.get_ref(),
            key_span: key.span().into(),
            value: value.get_ref(),
            span: value.span().into(),
            report: self.report,
        }
    }
}

/// A value and its key; an element of an array has the array's key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'d> {
    pub(super) key: &'d str,
    pub(super) key_span: SourceSpan,
    pub(super) value: &'d DeValue<'d>,
    pub(super) span: SourceSpan,
    pub(super) report: &'d Report<'d>,
}

impl<'d> Entry<'d> {
    /// Reports a problem at the value.
    pub(super) fn problem(&self, message: impl Into<String>, label: &str, help: impl Into<String>) {
        self.report
            .add(Problem::at(self.span, message, label).with_help(help));
    }

    pub(super) fn text(&self) -> Option<&'d str> {
        let found = self.value.as_str();
        if found.is_none() {
            self.wrong_type(Expected::Text);
        }
        found
    }

    /// A text that can be a name: not empty, and without control characters.
    pub(super) fn plain_text(&self) -> Option<&'d str> {
        let text = self.text()?;
        let fault = if text.trim().is_empty() {
            "is empty"
        } else if text.chars().any(char::is_control) {
            "contains a control character"
        } else {
            return Some(text);
        };
        self.problem(
            format!("`{}` {fault}", self.key),
            "",
            "give it a value, or leave the key out",
        );
        None
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let found = self.value.as_bool();
        if found.is_none() {
            self.wrong_type(Expected::Boolean);
        }
        found
    }

    /// An integer in `range`; `help` explains the limits.
    pub(super) fn integer(&self, range: RangeInclusive<u64>, help: &str) -> Option<u64> {
        let Some(integer) = self.value.as_integer() else {
            self.wrong_type(Expected::Integer);
            return None;
        };
        let number = unsigned(integer).filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("`{}` cannot be {}", self.key, self.report.source(self.span));
            self.problem(message, "out of range", help);
        }
        number
    }

    pub(super) fn list(&self) -> Option<Vec<Self>> {
        let Some(array) = self.value.as_array() else {
            self.wrong_type(Expected::List);
            return None;
        };
        let element = |value: &'d toml::Spanned<DeValue<'d>>| Self {
            value: value.get_ref(),
            span: value.span().into(),
            ..*self
        };
        Some(array.iter().map(element).collect())
    }

    /// The value as a table, which is called `name` in messages.
    pub(super) fn table(&self, name: String) -> Option<Table<'d>> {
        let Some(entries) = self.value.as_table() else {
            self.wrong_type(Expected::Table);
            return None;
        };
        Some(Table {
            name,
            span: self.span,
            entries,
            report: self.report,
        })
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words = || choices.iter().map(|(word, _)| *word);
            let help = match nearest(text, words()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("one of {}", quoted(words())),
            };
            self.problem(format!("`{}` cannot be `{text}`", self.key), "", help);
        }
        found.map(|(_, choice)| *choice)
    }

    /// A text that `parse` accepts; its error is reported here.
    pub(super) fn parsed<T, E: Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
        help: &str,
    ) -> Option<Located<T>> {
        match parse(self.text()?) {
            Ok(value) => Some(self.located(value)),
            Err(error) => {
                self.problem(error.to_string(), "", help);
                None
            }
        }
    }

    pub(super) fn located<T>(&self, value: T) -> Located<T> {
        Located {
            value,
            span: self.span,
        }
    }

    fn wrong_type(&self, expected: Expected) {
        let message = format!("`{}` must be {}", self.key, expected.words());
        let label = format!("this is {}", with_article(self.value));
        let problem = Problem::at(self.span, message, &label);
        self.report.add(match self.way_out(expected) {
            Some(help) => problem.with_help(help),
            None => problem,
        });
    }

    /// How to write the value with the right type, if that is known.
    fn way_out(&self, expected: Expected) -> Option<String> {
        let source = self.report.source(self.span);
        match (expected, self.value) {
            (
                Expected::Text,
                DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_),
            ) => Some(format!("write it in quotes: `\"{source}\"`")),
            (Expected::Integer, DeValue::String(text)) if text.parse::<i64>().is_ok() => {
                Some(format!("write it without quotes: `{text}`"))
            }
            (Expected::Boolean, DeValue::String(text)) if text.parse::<bool>().is_ok() => {
                Some(format!("write it without quotes: `{text}`"))
            }
            (
                Expected::List,
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_),
            ) => Some(format!("write it as an array: `[{source}]`")),
            (Expected::Table, _) => Some(format!(
                "write a table: `{} = {{ … }}`, or with its own header",
                self.key
            )),
            _ => None,
        }
    }
}

/// The number, unless it is negative or exceeds 64 bits.
fn unsigned(integer: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn with_article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date-time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
