//! The TOML document, and all problems in it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use crate::matrix::problem::Problem;

/// The maximum depth of nested tables and arrays. The file format needs only a few levels, and dropping a document
/// recurses once per level.
const MAX_DEPTH: usize = 100;

/// A parsed document: the part that could be read, and its problems.
#[derive(Debug)]
pub(super) struct Document<'t> {
    pub(super) text: &'t str,
    pub(super) root: DeTable<'t>,
    /// The syntax errors, at most one per line, because a second one is usually a consequence of the first.
    syntax_errors: Vec<Problem>,
    /// The problems with the content.
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Document<'t> {
    pub(super) fn parse(text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut root = root.into_inner();
        let mut lines = BTreeSet::new();
        let mut syntax_errors = errors
            .iter()
            .map(|error| (span(error, text), error))
            .filter(|(span, _)| lines.insert(line_of(text, span.start)))
            .map(|(span, error)| syntax_error(span, error.message()))
            .collect();
        if is_too_deep(&root) {
            // Dropping the document would recurse once per level, so a malicious file could overflow the stack.
            std::mem::forget(std::mem::take(&mut root));
            let message = format!("tables are nested more than {MAX_DEPTH} levels deep");
            syntax_errors = vec![Problem::new(message, "reduce the nesting")];
        }
        Self {
            text,
            root,
            syntax_errors,
            problems: RefCell::default(),
        }
    }

    /// Whether the text is not valid TOML.
    pub(super) fn is_damaged(&self) -> bool {
        !self.syntax_errors.is_empty()
    }

    /// Adds a problem with the content.
    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Adds a problem about something that is missing, but only if the text has no syntax errors. Otherwise, the
    /// missing part may be in the text that couldn't be read.
    pub(super) fn report_missing(&self, problem: Problem) {
        if !self.is_damaged() {
            self.report(problem);
        }
    }

    /// All problems, except those after the first syntax error, where the text may have been misread.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let certain_until = self.syntax_errors.iter().map(Problem::offset).min();
        let mut problems = self.problems.into_inner();
        problems.retain(|problem| certain_until.is_none_or(|end| problem.offset() < end));
        problems.extend(self.syntax_errors);
        problems
    }
}

fn syntax_error(span: std::ops::Range<usize>, message: &str) -> Problem {
    let help = match message {
        "duplicate key" => "a key or table can be defined only once: merge the two, or remove one",
        _ => "strings need quotes, arrays `[ ]`, inline tables `{ }`; see https://toml.io",
    };
    Problem::at(span, format!("not valid TOML: {message}"), help)
}

/// The range of an error, limited to the text and moved to character boundaries.
fn span(error: &toml::de::Error, text: &str) -> std::ops::Range<usize> {
    let span = error.span().unwrap_or(text.len()..text.len());
    let start = boundary(text, span.start);
    start..boundary(text, span.end).max(start)
}

fn boundary(text: &str, offset: usize) -> usize {
    let candidates = (0..=offset.min(text.len())).rev();
    let mut boundaries = candidates.filter(|offset| text.is_char_boundary(*offset));
    boundaries.next().unwrap_or(0)
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count()
}

/// Searches level by level instead of recursively.
fn is_too_deep(root: &DeTable<'_>) -> bool {
    let mut level: Vec<&DeValue<'_>> = root.values().map(toml::Spanned::get_ref).collect();
    for _ in 0..MAX_DEPTH {
        level = level.into_iter().flat_map(children).collect();
        if level.is_empty() {
            return false;
        }
    }
    true
}

fn children<'v, 't>(value: &'v DeValue<'t>) -> impl Iterator<Item = &'v DeValue<'t>> {
    let elements = value.as_array().into_iter().flatten();
    let values = value.as_table().into_iter().flat_map(DeTable::values);
    elements.chain(values).map(toml::Spanned::get_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deeply_nested_document_is_rejected_without_recursion() {
        // The TOML parser limits the number of parts of a key, and the nesting of values, but not the depth that
        // results from both together.
        let table = format!("{{{}a=", "a.".repeat(70));
        for text in [
            format!("{}a = 1", "a.".repeat(100_000)),
            format!("a = {}1{}", table.repeat(70), "}".repeat(70)),
        ] {
            let document = Document::parse(&text);
            assert!(document.is_damaged());
            assert!(document.root.is_empty());
        }
    }

    #[test]
    fn a_document_may_have_100_levels() {
        for (levels, expected) in [
            (100, None),
            (101, Some("tables are nested more than 100 levels deep")),
        ] {
            let (outer, inner) = ("a.".repeat(49), "a.".repeat(levels - 51));
            let text = format!("{outer}a = {{ {inner}a = 1 }}");
            let document = Document::parse(&text);
            let problem = document.syntax_errors.first().map(Problem::message);
            assert_eq!(problem, expected, "{levels} levels");
        }
    }
}
