//! Where the readers of one text put what they find wrong with it.

use std::cell::RefCell;

use miette::SourceSpan;

use crate::matrix::problem::Problem;

/// Collects the problems of one text.
#[derive(Debug)]
pub(super) struct Report<'d> {
    text: &'d str,
    /// The document is not valid TOML: what seems to be missing may stand in the part that could not be read.
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

    /// Notes that something is missing, unless it may stand in a part that could not be read.
    pub(super) fn add_missing(&self, problem: Problem) {
        if !self.damaged {
            self.add(problem);
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// The text as the file has it.
    pub(super) fn source(&self, span: SourceSpan) -> &'d str {
        self.text
            .get(span.offset()..span.offset() + span.len())
            .unwrap_or_default()
    }
}
