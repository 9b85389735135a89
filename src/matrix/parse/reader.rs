//! The values of the document. Reading one reports each problem at its place.
//!
//! Each method returns `None` if it has reported a problem. This module knows TOML, but not the matrix.

use miette::SourceSpan;
use toml::de::DeValue;

use super::document::Document;
use super::keys::Table;
use crate::matrix::problem::Problem;

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

/// A value and its key. An element of an array has the array's key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'d> {
    pub(super) key: &'d str,
    pub(super) key_span: SourceSpan,
    pub(super) value: &'d DeValue<'d>,
    pub(super) span: SourceSpan,
    pub(super) document: &'d Document<'d>,
}

impl<'d> Entry<'d> {
    /// Reports a problem at the value.
    pub(super) fn fail<T>(&self, message: impl Into<String>, help: impl Into<String>) -> Option<T> {
        self.reject(Problem::at(self.span, message, help))
    }

    /// Reports a problem with the value or its key.
    pub(super) fn reject<T>(&self, problem: Problem) -> Option<T> {
        self.document.report(problem);
        None
    }

    /// The value's text in the file.
    pub(super) fn source(&self) -> &'d str {
        let (start, length) = (self.span.offset(), self.span.len());
        let source = self.document.text.get(start..start + length);
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
    pub(super) fn table(&self, name: impl Into<String>) -> Option<Table<'d>> {
        match self.value.as_table() {
            Some(content) => Some(Table::new(name, self.span, content, self.document)),
            None => self.wrong_type(TABLE),
        }
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
        let found = match self.value.type_str() {
            "datetime" => "date-time",
            name => name,
        };
        let article = if found.starts_with(['a', 'i']) {
            "an"
        } else {
            "a"
        };
        let message = format!("`{}` must be {expected}", self.key);
        let problem = Problem::at(self.span, message, help);
        self.reject(problem.labelled(&format!("this is {article} {found}")))
    }
}

/// How messages describe what a value must be.
const TEXT: &str = "a string";
pub(super) const INTEGER: &str = "an integer";
pub(super) const BOOLEAN: &str = "`true` or `false`";
const LIST: &str = "an array";
const TABLE: &str = "a table";
