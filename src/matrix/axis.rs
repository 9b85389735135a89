//! Further axes: those that a file adds to `kubernetes`, `nodes` and `config`. Defines their names and values, and a
//! cell's value on such an axis.

use std::fmt;
use std::sync::Arc;

use super::cell::{FILTER_WORDS, looks_like_nodes};
use super::names::{NameError, is_lowercase_name};
use super::text_types;

/// The name of a further axis: a key of `[matrix]` that isn't a fixed axis, `exclude` or `include`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AxisName(Arc<str>);

impl AxisName {
    /// The maximum length of a name.
    pub const MAX: usize = 20;

    /// Names that already have a meaning in the file.
    const TAKEN: [&'static str; 12] = [
        "matrix", "images", "deploy", "run", "existing", "phases", "checks", "commands", "include",
        "exclude", "tags", "cell",
    ];

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let violated = if Self::TAKEN.contains(&text) {
            format!(
                "`{text}` is already used for something else in the file, so it can't be an axis"
            )
        } else if FILTER_WORDS.contains(&text) {
            format!("`{text}` is a reserved word of the filter language, so it can't be an axis")
        } else if !is_lowercase_name(text, "") {
            // Axis names contain no `-`, so the first `-` in an id part separates the axis from the value.
            "the name of an axis must match `[a-z][a-z0-9]*`".to_owned()
        } else if text.len() > Self::MAX {
            format!("the name of an axis has at most {} characters", Self::MAX)
        } else if looks_like_nodes(text) {
            "the name of an axis must not look like a node count (`n<digits>`)".to_owned()
        } else {
            return Ok(Self(text.into()));
        };
        Err(NameError::new(violated))
    }
}

/// A value of a further axis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueName(Arc<str>);

impl ValueName {
    /// The maximum length of a value.
    pub const MAX: usize = 40;

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let violated = if !Self::has_valid_characters(text) {
            "a value of an axis consists of lowercase letters, digits, `.` and `-`, and starts and ends with a letter or digit".to_owned()
        } else if text.len() > Self::MAX {
            format!("a value of an axis has at most {} characters", Self::MAX)
        } else if FILTER_WORDS.contains(&text) {
            format!(
                "`{text}` is a reserved word of the filter language, so it can't be a value of an axis"
            )
        } else {
            return Ok(Self(text.into()));
        };
        Err(NameError::new(violated))
    }

    /// Whether `text` contains only characters that are valid in values, and starts and ends with a letter or digit.
    /// The length isn't checked, because `text` may consist of several parts of an id.
    pub(super) fn has_valid_characters(text: &str) -> bool {
        let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        text.starts_with(is_end)
            && text.ends_with(is_end)
            && text.chars().all(|c| is_end(c) || c == '.' || c == '-')
    }
}

text_types!(AxisName, ValueName);

/// A cell's value on a further axis. Its text is a part of the cell's id, such as `agent-1.4`.
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

    /// The value on the axis.
    pub fn value(&self) -> &str {
        &self.part[self.axis + 1..]
    }

    /// The part of the cell's id, such as `agent-1.4`.
    pub fn as_str(&self) -> &str {
        &self.part
    }
}

impl fmt::Display for Coordinate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.part)
    }
}
