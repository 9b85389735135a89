//! The collected problems of one text.

use std::cell::RefCell;

use miette::SourceSpan;

use crate::matrix::problem::Problem;

/// Collects the problems of one text.
#[derive(Debug)]
pub(super) struct Report<'d> {
    text: &'d str,
    /// Whether the document isn't valid TOML, so that missing parts may be in the part that couldn't be read.
    damaged: bool,
    problems: RefCell<Vec<Problem>>,
}

impl<'d> Report<'d> {
    pub(super) fn new(text: &'d str, damaged: bool) -> Self {
        Self {
            text,
            damaged,
            problems: RefCell::default(),
        }
    }

    pub(super) fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Reports that something is missing, unless it may be in a part that couldn't be read.
    pub(super) fn add_missing(&self, problem: Problem) {
        if !self.damaged {
            self.add(problem);
        }
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
