//! Further axes: those that a file adds to `kubernetes`, `nodes` and `config`. Defines the rules for their names and
//! values, and a cell's value on such an axis.

use std::fmt;
use std::sync::Arc;

use super::cell::{FILTER_WORDS, looks_like_nodes};
use super::names::{NameError, is_lowercase_name};

/// The maximum length of the name of a further axis.
const MAX_NAME: usize = 20;

/// The maximum length of a value on a further axis.
const MAX_VALUE: usize = 40;

/// Names that already have a meaning in the file.
const TAKEN: [&str; 12] = [
    "matrix", "images", "deploy", "run", "existing", "phases", "checks", "commands", "include",
    "exclude", "tags", "cell",
];

/// Checks that `text` can be the name of a further axis: a key of `[matrix]` that isn't a fixed axis, `exclude` or
/// `include`.
pub(super) fn check_axis_name(text: &str) -> Result<(), NameError> {
    let violated = if TAKEN.contains(&text) {
        format!("`{text}` is already used for something else in the file, so it can't be an axis")
    } else if FILTER_WORDS.contains(&text) {
        format!("`{text}` is a reserved word of the filter language, so it can't be an axis")
    } else if !is_lowercase_name(text, "") {
        // Axis names contain no `-`, so the first `-` in an id part separates the axis from the value.
        "the name of an axis must match `[a-z][a-z0-9]*`".to_owned()
    } else if text.len() > MAX_NAME {
        format!("the name of an axis has at most {MAX_NAME} characters")
    } else if looks_like_nodes(text) {
        "the name of an axis must not look like a node count (`n<digits>`)".to_owned()
    } else {
        return Ok(());
    };
    Err(NameError::new(violated))
}

fn check_value(text: &str) -> Result<(), NameError> {
    let violated = if !has_value_characters(text) {
        "a value of an axis consists of lowercase letters, digits, `.` and `-`, and starts and ends with a letter or digit".to_owned()
    } else if text.len() > MAX_VALUE {
        format!("a value of an axis has at most {MAX_VALUE} characters")
    } else if FILTER_WORDS.contains(&text) {
        format!(
            "`{text}` is a reserved word of the filter language, so it can't be a value of an axis"
        )
    } else {
        return Ok(());
    };
    Err(NameError::new(violated))
}

/// Whether `text` contains only characters that are valid in values, and starts and ends with a letter or digit. The
/// length isn't checked, because `text` may consist of several parts of an id.
pub(super) fn has_value_characters(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_end)
        && text.ends_with(is_end)
        && text.chars().all(|c| is_end(c) || c == '.' || c == '-')
}

/// A cell's value on a further axis. Its text is a part of the cell's id, such as `agent-1.4`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coordinate {
    part: Arc<str>,
    /// The length of the axis's name.
    axis: usize,
}

impl Coordinate {
    /// Checks the name of the axis and the value on it.
    pub fn parse(axis: &str, value: &str) -> Result<Self, NameError> {
        check_axis_name(axis)?;
        check_value(value)?;
        Ok(Self {
            part: format!("{axis}-{value}").into(),
            axis: axis.len(),
        })
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
