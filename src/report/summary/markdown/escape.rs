//! Text from outside the runner in Markdown, escaped so that it can't become a table separator, a heading, HTML or a
//! mention.

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
    let longest = text
        .split(|character| character != '`')
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

/// A table, whose cells must already be escaped. The columns in `right` are right-aligned.
pub(super) fn table(
    head: &[String],
    rows: &[impl AsRef<[String]>],
    right: std::ops::Range<usize>,
) -> String {
    let rule = (0..head.len()).map(|index| if right.contains(&index) { "--:" } else { ":--" });
    let mut out = row(head.iter().map(String::as_str));
    out += &row(rule);
    for cells in rows {
        out += &row(cells.as_ref().iter().map(String::as_str));
    }
    out
}

/// A row of a table, whose cells must already be escaped.
pub(super) fn row<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<_> = cells.collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A folded section. `title` must already be escaped.
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
