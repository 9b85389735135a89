//! The collected problems in one text.

use std::cell::RefCell;

use super::syntax::Document;
use crate::matrix::problem::Problem;

/// Collects the problems in one text.
#[derive(Debug)]
pub(super) struct Report<'d> {
    pub(super) text: &'d str,
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

    /// Whether the file has a value at this path of keys.
    pub(super) fn has(&self, path: &[&str]) -> bool {
        let mut keys = path.iter();
        let first = keys.next().and_then(|key| self.document.root.get(*key));
        let value = keys.fold(first, |table, key| table?.get_ref().get(*key));
        value.is_some()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}
