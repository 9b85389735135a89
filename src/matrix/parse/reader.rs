//! A typed view of the parsed document. It reports each problem at its place and continues.
//!
//! Each method returns `None` if it has reported a problem. This module knows TOML, but not the matrix.

use miette::SourceSpan;
use toml::de::{DeTable, DeValue};

use super::report::Report;
use crate::matrix::nearest::suggestion;
use crate::matrix::problem::Problem;

/// Renamed keys: the old name and the current one. The error about an old name states the current one.
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

impl<T> Located<T> {
    /// Another value at the same place.
    pub(super) fn with<U>(&self, value: U) -> Located<U> {
        let span = self.span;
        Located { value, span }
    }
}

/// A table, with its name for messages.
#[derive(Clone, Debug)]
pub(super) struct Table<'d> {
    pub(super) name: String,
    /// The table's header, or the whole table if it is an inline table.
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

    /// Reports a key that isn't in `known`.
    pub(super) fn report_unknown(&self, entry: Entry<'_>, known: &[&str]) {
        let message = format!("unknown key `{}` in {}", entry.key, self.name);
        let mut renamed = RENAMED.iter();
        let renamed = renamed.find(|(old, new)| *old == entry.key && known.contains(new));
        let help = match renamed {
            Some((_, new)) => format!("it was renamed to `{new}`"),
            None => suggestion(entry.key, known, "known keys:"),
        };
        self.report.add(Problem::at(entry.key_span, message, help));
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry<'d>> {
        let (key, value) = self.entries.get_key_value(key)?;
        Some(Entry {
            key: key.get_ref(),
            key_span: key.span().into(),
            value: value.get_ref(),
            span: value.span().into(),
            report: self.report,
        })
    }

    /// Reports that the table lacks something.
    pub(super) fn report_missing(&self, message: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::at(self.span, message, help);
        self.report.add_missing(problem);
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'d>> {
        let keys = self.entries.keys();
        keys.filter_map(|key| self.get(key.get_ref()))
    }
}

/// A value and its key. An element of an array has the array's key.
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
    pub(super) fn fail<T>(&self, message: impl Into<String>, help: impl Into<String>) -> Option<T> {
        self.reject(Problem::at(self.span, message, help))
    }

    /// Reports a problem with the value or its key.
    pub(super) fn reject<T>(&self, problem: Problem) -> Option<T> {
        self.report.add(problem);
        None
    }

    /// The value's text in the file.
    pub(super) fn source(&self) -> &'d str {
        let (start, length) = (self.span.offset(), self.span.len());
        let source = self.report.text.get(start..start + length);
        source.unwrap_or_default()
    }

    pub(super) fn text(&self) -> Option<&'d str> {
        let text = self.value.as_str();
        text.or_else(|| self.wrong_type(TEXT))
    }

    pub(super) fn list(&self) -> Option<Vec<Self>> {
        let Some(array) = self.value.as_array() else {
            return self.wrong_type(LIST);
        };
        let element = |value: &'d toml::Spanned<DeValue<'d>>| Self {
            value: value.get_ref(),
            span: value.span().into(),
            ..*self
        };
        Some(array.iter().map(element).collect())
    }

    /// The value as a table. Messages call it `name`.
    pub(super) fn table(&self, name: String) -> Option<Table<'d>> {
        let Some(entries) = self.value.as_table() else {
            return self.wrong_type(TABLE);
        };
        Some(Table {
            name,
            span: self.span,
            entries,
            report: self.report,
        })
    }

    /// Reports that the value isn't `expected`, and how to write it, if that is known.
    pub(super) fn wrong_type<T>(&self, expected: &'static str) -> Option<T> {
        let source = self.source();
        let is_scalar = !self.value.is_array() && !self.value.is_table();
        let help = match (expected, self.value.as_str()) {
            (TEXT, None) if is_scalar => format!("write it in quotes: `\"{source}\"`"),
            (INTEGER, Some(text)) if text.parse::<i64>().is_ok() => {
                format!("write it without quotes: `{text}`")
            }
            (BOOLEAN, Some(text)) if text.parse::<bool>().is_ok() => {
                format!("write it without quotes: `{text}`")
            }
            (LIST, _) if is_scalar => format!("write it as an array: `[{source}]`"),
            (TABLE, _) => {
                let key = self.key;
                format!("write a table: `{key} = {{ … }}`, or a table with its own header")
            }
            _ => String::new(),
        };
        let label = format!("this is {}", with_article(self.value));
        let message = format!("`{}` must be {expected}", self.key);
        self.reject(Problem::at(self.span, message, help).labelled(&label))
    }
}

/// How messages describe what a value must be.
pub(super) const TEXT: &str = "a string";
pub(super) const INTEGER: &str = "an integer";
pub(super) const BOOLEAN: &str = "`true` or `false`";
const LIST: &str = "an array";
const TABLE: &str = "a table";

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
