//! The problems in a matrix file or a filter, each with its place. All of them are reported together.
//!
//! Contains only data and its `miette` view. This module prints nothing, and knows nothing about terminals.

use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};

use super::redact::Redacted;

/// A problem in a matrix file or a filter, with the places that it concerns, and help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Problem {
    message: String,
    #[label(collection)]
    labels: Vec<LabeledSpan>,
    #[help]
    help: Option<String>,
    /// The filter. The text of a matrix file is part of [`Problems`].
    #[source_code]
    filter: Option<NamedSource<Arc<str>>>,
}

impl Problem {
    /// A problem without a place. `help` may be empty.
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            labels: Vec::new(),
            help: Some(help.into()).filter(|help| !help.is_empty()),
            filter: None,
        }
    }

    /// A problem at `span`. `help` may be empty.
    pub(super) fn at(
        span: impl Into<SourceSpan>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let mut problem = Self::new(message, help);
        let label = LabeledSpan::new_primary_with_span(None, span);
        problem.labels.push(label);
        problem
    }

    /// The same problem, with `label` shown at its places.
    pub(super) fn labelled(mut self, label: &str) -> Self {
        for place in &mut self.labels {
            place.set_label(Some(label.to_owned()));
        }
        self
    }

    /// The same problem, in this filter.
    pub(super) fn in_filter(mut self, filter: Arc<str>) -> Self {
        self.filter = Some(NamedSource::new("filter", filter));
        self
    }

    /// The same problem with a second place.
    pub(super) fn and_at(mut self, span: impl Into<SourceSpan>, label: &str) -> Self {
        self.labels
            .push(LabeledSpan::new_with_span(Some(label.to_owned()), span));
        self
    }

    /// The same problem, labelled as a repetition. `first` is the span of the first occurrence.
    pub(super) fn repeats(self, first: SourceSpan) -> Self {
        self.labelled("again").and_at(first, "first here")
    }

    /// The message, without place and help.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The offset of the problem in bytes from the start of the file; 0 if the problem has no place.
    pub fn offset(&self) -> usize {
        self.labels.first().map_or(0, LabeledSpan::offset)
    }
}

/// All problems in one matrix file, sorted by line; at least one.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{} has {}", self.file(), counted(.problems.len()))]
pub struct Problems {
    #[source_code]
    text: NamedSource<Arc<str>>,
    #[related]
    problems: Vec<Problem>,
}

fn counted(problems: usize) -> String {
    let noun = if problems == 1 { "problem" } else { "problems" };
    format!("{problems} {noun}")
}

impl Problems {
    /// Fails if there are any `problems`. `name` and `text` are the name and content of the file. The file's secrets
    /// are masked.
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
            text: NamedSource::new(name, Arc::from(text)),
            problems,
        })
    }

    /// The name of the file, as given.
    pub fn file(&self) -> &str {
        self.text.name()
    }

    /// The problems, sorted by line.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.problems.iter()
    }
}
