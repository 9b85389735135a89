//! A problem in a filter, with the filter as source text.

use std::sync::Arc;

use miette::{Diagnostic, NamedSource};

use crate::matrix::problem::Problem;

/// One problem in one filter.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{problem}")]
#[diagnostic(forward(problem))]
pub struct FilterProblem {
    #[source_code]
    text: NamedSource<Arc<str>>,
    problem: Box<Problem>,
}

impl FilterProblem {
    pub(super) fn new(text: Arc<str>, problem: Problem) -> Self {
        Self {
            text: NamedSource::new("filter", text),
            problem: Box::new(problem),
        }
    }
}

/// Names in the filters of a run that don't exist in the matrix; at least one.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{}", summary(.0.len()))]
pub struct FilterProblems(#[related] Vec<FilterProblem>);

fn summary(count: usize) -> String {
    match count {
        1 => "a name in a filter matches nothing in the matrix".to_owned(),
        count => format!("{count} names in filters match nothing in the matrix"),
    }
}

impl FilterProblems {
    /// Fails with `problems` if there are any.
    pub(super) fn err_if_any(problems: Vec<FilterProblem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self(problems))
        }
    }

    /// The problems, sorted by filter and place.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &FilterProblem> {
        self.0.iter()
    }
}
