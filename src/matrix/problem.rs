//! What is wrong with a matrix file: every problem with its place, so that one run shows all of them.
//!
//! Only data and its `miette` view: nothing here prints or knows how a terminal looks.

use std::fmt;
use std::sync::Arc;

use super::redact::Redacted;
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};

/// One thing that is wrong with a matrix file, with the places that show it and a way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    message: String,
    labels: Vec<LabeledSpan>,
    help: Option<String>,
}

impl Problem {
    /// A problem that has no place, because there is no text to point at.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// A problem at `span`; `label` is what stands under the underlined text.
    pub(super) fn at(span: SourceSpan, message: impl Into<String>, label: &str) -> Self {
        let mut problem = Self::new(message);
        problem
            .labels
            .push(LabeledSpan::new_primary_with_span(text(label), span));
        problem
    }

    /// The same problem with a second place that belongs to it.
    pub(super) fn and_at(mut self, span: SourceSpan, label: &str) -> Self {
        self.labels
            .push(LabeledSpan::new_with_span(text(label), span));
        self
    }

    /// The same problem with a way out.
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What is wrong, without place and help.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where in the file, in bytes from its start; 0 where there is no text to point at.
    pub fn offset(&self) -> usize {
        self.labels.first().map_or(0, LabeledSpan::offset)
    }
}

/// A label's text, or none where the underline says enough.
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

/// Everything that is wrong with one matrix file, in the order of its lines. Never empty.
#[derive(Clone, Debug)]
pub struct Problems {
    source: NamedSource<Arc<str>>,
    problems: Vec<Problem>,
}

impl Problems {
    /// The problems of the file `name` with content `text`; `None` if there are none. They show no secret of the file.
    pub(super) fn of(name: &str, text: &str, mut problems: Vec<Problem>) -> Option<Self> {
        if problems.is_empty() {
            return None;
        }
        problems.sort_by_key(Problem::offset);
        let Redacted { text, mask } = Redacted::of(text);
        for problem in &mut problems {
            problem.message = mask.apply(&problem.message);
            problem.help = problem.help.take().map(|help| mask.apply(&help));
        }
        Some(Self {
            source: NamedSource::new(name, Arc::from(text)),
            problems,
        })
    }

    /// The name of the file, as it was given.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The problems in the order of the file's lines.
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
