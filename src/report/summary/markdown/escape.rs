//! Text from outside the runner in Markdown, escaped so that it can't become a table separator, a heading, HTML or a
//! mention.

use std::borrow::Borrow;
use std::ops::Range;

/// Text in a line or a table cell. Line endings become breaks.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\n' => out += "<br>",
            // A mention would notify someone.
            '@' => out += "&#64;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

/// A code block whose fence is longer than any run of backticks in the text.
pub(super) fn block(text: &str) -> String {
    let runs = text.split(|character| character != '`').map(str::len);
    let longest = runs.max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

/// A table. The cells of its head must already be escaped. The columns in `right` are right-aligned.
pub(super) fn table(
    head: &[impl Borrow<str>],
    rows: impl IntoIterator<Item = String>,
    right: &Range<usize>,
) -> String {
    let rule = (0..head.len()).map(|index| if right.contains(&index) { "--:" } else { ":--" });
    let mut out = row(head) + &row(&rule.collect::<Vec<_>>());
    out.extend(rows);
    out
}

/// A row of a table, whose cells must already be escaped.
pub(super) fn row(cells: &[impl Borrow<str>]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// A folded section. `title` is part of an HTML block, in which Markdown's escapes would be visible: it is an id or
/// consists of the report's own words, so nothing in it has to be escaped.
pub(super) fn folded(title: &str, body: &str) -> String {
    format!("<details><summary>{title}</summary>\n\n{body}\n</details>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_does_not_become_markup() {
        assert_eq!(
            escape("a|b <img> `c` @all\n*d*"),
            r"a\|b &lt;img&gt; \`c\` &#64;all<br>\*d\*"
        );
    }

    #[test]
    fn no_text_closes_its_own_code_block() {
        assert_eq!(block("a\n````\nb"), "`````text\na\n````\nb\n`````\n");
        assert_eq!(block("a"), "```text\na\n```\n");
    }
}
