//! A problem in a filter, with the filter as source text.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use crate::matrix::problem::Problem;

/// One problem of one filter.
#[derive(Clone, Debug)]
pub struct FilterProblem {
    source: NamedSource<Arc<str>>,
    problem: Box<Problem>,
}

impl FilterProblem {
    pub(super) fn new(source: Arc<str>, problem: Problem) -> Self {
        Self {
            source: NamedSource::new("filter", source),
            problem: Box::new(problem),
        }
    }
}

impl fmt::Display for FilterProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(formatter)
    }
}

impl std::error::Error for FilterProblem {}

impl Diagnostic for FilterProblem {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.problem.labels()
    }
}

/// All names in the filters of a run that the matrix doesn't have; at least one.
#[derive(Clone, Debug)]
pub struct FilterProblems(Vec<FilterProblem>);

impl FilterProblems {
    /// Fails with `problems`, unless there are none.
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

impl fmt::Display for FilterProblems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => formatter.write_str("a name in a filter matches nothing in the matrix"),
            count => write!(
                formatter,
                "{count} names in filters match nothing in the matrix"
            ),
        }
    }
}

impl std::error::Error for FilterProblems {}

impl Diagnostic for FilterProblems {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(
            self.0.iter().map(|problem| problem as &dyn Diagnostic),
        ))
    }
}
