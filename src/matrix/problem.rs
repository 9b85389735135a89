//! The problems of a matrix file, each with its place, so that one run shows all of them.
//!
//! Only data and its `miette` view: this module prints nothing and knows nothing about terminals.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};

use super::redact::Redacted;

/// A problem of a matrix file, with the places that it concerns and help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    message: String,
    labels: Vec<LabeledSpan>,
    help: Option<String>,
}

impl Problem {
    /// A problem without a place.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// A problem at `span`; `label` is shown below the underlined text.
    pub(super) fn at(span: SourceSpan, message: impl Into<String>, label: &str) -> Self {
        let mut problem = Self::new(message);
        problem
            .labels
            .push(LabeledSpan::new_primary_with_span(text(label), span));
        problem
    }

    /// The same problem with a second place.
    pub(super) fn and_at(mut self, span: SourceSpan, label: &str) -> Self {
        self.labels
            .push(LabeledSpan::new_with_span(text(label), span));
        self
    }

    /// The same problem with help, unless it is empty.
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }

    /// The message, without place and help.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The place in bytes from the start of the file; 0 if there is none.
    pub fn offset(&self) -> usize {
        self.labels.first().map_or(0, LabeledSpan::offset)
    }
}

/// A label's text; `None` if the underline is enough.
fn text(label: &str) -> Option<String> {
    (!label.is_empty()).then(|| label.to_owned())
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty())
            .then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
}

/// All problems of one matrix file, sorted by line; at least one.
#[derive(Clone, Debug)]
pub struct Problems {
    source: NamedSource<Arc<str>>,
    problems: Vec<Problem>,
}

impl Problems {
    /// Fails with `problems` of the file `name` with the content `text`, unless there are none. The file's secrets are
    /// masked.
    pub(super) fn err_if_any(
        name: &str,
        text: &str,
        mut problems: Vec<Problem>,
    ) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(Problem::offset);
        let Redacted { text, mask } = Redacted::of(text);
        for problem in &mut problems {
            problem.message = mask.apply(&problem.message);
            problem.help = problem.help.take().map(|help| mask.apply(&help));
        }
        Err(Self {
            source: NamedSource::new(name, Arc::from(text)),
            problems,
        })
    }

    /// The name of the file, as given.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The problems, sorted by line.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.problems.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(formatter, "{} has {count} {noun}", self.file())
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(
            self.problems
                .iter()
                .map(|problem| problem as &dyn Diagnostic),
        ))
    }
}
