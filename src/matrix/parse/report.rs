//! The collected problems in one text.

use std::cell::RefCell;

use miette::SourceSpan;

use super::syntax::Document;
use crate::matrix::problem::Problem;

/// Collects the problems in one text.
#[derive(Debug)]
pub(super) struct Report<'d> {
    text: &'d str,
    document: &'d Document<'d>,
    problems: RefCell<Vec<Problem>>,
}

impl<'d> Report<'d> {
    pub(super) fn new(text: &'d str, document: &'d Document<'d>) -> Self {
        Self {
            text,
            document,
            problems: RefCell::default(),
        }
    }

    pub(super) fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Adds a problem about something that is missing, but only if the text has no syntax errors. Otherwise, the
    /// missing part may be in the text that couldn't be read.
    pub(super) fn add_missing(&self, problem: Problem) {
        if !self.document.is_damaged() {
            self.add(problem);
        }
    }

    /// Whether the file has this key at the top level.
    pub(super) fn has(&self, key: &str) -> bool {
        self.document.root.contains_key(key)
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// The source text at `span`.
    pub(super) fn source(&self, span: SourceSpan) -> &'d str {
        self.text
            .get(span.offset()..span.offset() + span.len())
            .unwrap_or_default()
    }
}
