//! Further axes, which a file adds to the three that every matrix has: their names and values, and a cell's values on
//! them.

use std::fmt;
use std::sync::Arc;

use super::cell::{FILTER_WORDS, looks_like_nodes};
use super::text_types;

/// A text can't be the name of an axis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AxisNameError {
    /// Invalid characters. Names have no `-`, so that the first one in a part of an id separates axis and value.
    #[error("the name of an axis must match `[a-z][a-z0-9]*`")]
    Characters,
    /// Ids would become too long.
    #[error("the name of an axis has at most {max} characters", max = AxisName::MAX)]
    TooLong,
    /// It looks like a node count in an id.
    #[error("the name of an axis must not look like a node count (`n<digits>`)")]
    LooksLikeNodes,
    /// It has another meaning in the file.
    #[error("`{0}` has another meaning in the file, so it can't be an axis")]
    Taken(String),
    /// It is reserved by the filter language.
    #[error("`{0}` is a reserved word of the filter language, so it can't be an axis")]
    FilterWord(String),
}

/// The name of a further axis: a key of `[matrix]` that has no other meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AxisName(Arc<str>);

impl AxisName {
    /// The maximum length of a name.
    pub const MAX: usize = 20;

    /// Names with another meaning in files.
    const TAKEN: [&'static str; 12] = [
        "matrix", "images", "deploy", "run", "existing", "phases", "checks", "commands", "include",
        "exclude", "tags", "cell",
    ];

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, AxisNameError> {
        if Self::TAKEN.contains(&text) {
            return Err(AxisNameError::Taken(text.to_owned()));
        }
        if FILTER_WORDS.contains(&text) {
            return Err(AxisNameError::FilterWord(text.to_owned()));
        }
        let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(is_valid) {
            return Err(AxisNameError::Characters);
        }
        if text.len() > Self::MAX {
            return Err(AxisNameError::TooLong);
        }
        if looks_like_nodes(text) {
            return Err(AxisNameError::LooksLikeNodes);
        }
        Ok(Self(text.into()))
    }
}

/// A text can't be a value of an axis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueNameError {
    /// Invalid characters.
    #[error(
        "a value of an axis consists of lowercase letters, digits, `.` and `-`, and starts and ends with a letter or digit"
    )]
    Characters,
    /// Ids would become too long.
    #[error("a value of an axis has at most {max} characters", max = ValueName::MAX)]
    TooLong,
    /// It is reserved by the filter language.
    #[error("`{0}` is a reserved word of the filter language, so it can't be a value of an axis")]
    FilterWord(String),
}

/// A value of a further axis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueName(Arc<str>);

impl ValueName {
    /// The maximum length of a value.
    pub const MAX: usize = 40;

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, ValueNameError> {
        if !Self::has_valid_characters(text) {
            return Err(ValueNameError::Characters);
        }
        if text.len() > Self::MAX {
            return Err(ValueNameError::TooLong);
        }
        if FILTER_WORDS.contains(&text) {
            return Err(ValueNameError::FilterWord(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// Whether `text` consists of characters that are valid in values. It may be several parts of an id.
    pub(super) fn has_valid_characters(text: &str) -> bool {
        let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        text.starts_with(is_end)
            && text.ends_with(is_end)
            && text.chars().all(|c| is_end(c) || c == '.' || c == '-')
    }
}

text_types!(AxisName, ValueName);

/// A cell's value on a further axis. Its text is a part of the cell's id: `agent-1.4`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coordinate {
    part: Arc<str>,
    /// The length of the axis's name.
    axis: usize,
}

impl Coordinate {
    /// The coordinate with `value` on `axis`.
    pub fn new(axis: &AxisName, value: &ValueName) -> Self {
        Self {
            part: format!("{axis}-{value}").into(),
            axis: axis.as_str().len(),
        }
    }

    /// The name of the axis.
    pub fn axis(&self) -> &str {
        &self.part[..self.axis]
    }

    /// The value on it.
    pub fn value(&self) -> &str {
        &self.part[self.axis + 1..]
    }

    /// Its part of the cell's id.
    pub fn as_str(&self) -> &str {
        &self.part
    }
}

impl fmt::Display for Coordinate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.part)
    }
}
