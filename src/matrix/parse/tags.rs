//! `tags` in any table: words that `tag = …` selects in a filter.

use super::reader::{Entry, Table};

/// The tags of a table; empty if it doesn't have the key.
pub(super) fn read(table: &Table<'_>) -> Vec<String> {
    let elements = table.get("tags").and_then(|entry| entry.list());
    elements.into_iter().flatten().filter_map(tag).collect()
}

fn tag(entry: Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    if is_tag(text) {
        return Some(text.to_owned());
    }
    entry.problem(
        format!("`{text}` cannot be a tag"),
        "",
        "a tag is letters, digits, `.`, `_` and `-`, and starts with a letter or digit",
    );
    None
}

fn is_tag(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}
