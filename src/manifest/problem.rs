//! A problem in the sources of a deployment, with its place and a remedy.

use std::fmt;

use crate::secret::Mask;

/// A place in the sources of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user calls it, with the document and its first line: `rbac.yaml, document 2, line 34`.
    pub file: String,
    /// Kind and name, for example `DaemonSet plexd`.
    pub object: Option<String>,
    /// The path of a field, for example `spec.template.spec.containers[0].image`; empty for the whole object.
    pub field: String,
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            ..Self::default()
        }
    }

    /// The place of an object that isn't in any file, because the run itself creates it.
    pub(super) fn generated() -> Self {
        Self::file("(created by the run)")
    }

    /// This place with `field` appended to its path. If `field` is empty, the place is unchanged.
    pub(super) fn below(&self, field: &str) -> Self {
        let is_joined = self.field.is_empty() || field.is_empty() || field.starts_with('[');
        let separator = if is_joined { "" } else { "." };
        Self {
            field: format!("{}{separator}{field}", self.field),
            ..self.clone()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(object) = &self.object {
            write!(formatter, " ({object})")?;
        }
        if !self.field.is_empty() {
            write!(formatter, ", {}", self.field)?;
        }
        Ok(())
    }
}

/// A problem that keeps a deployment from being applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ManifestProblem {
    /// The place.
    pub place: Place,
    /// What is wrong. The place is usually the subject of the sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl ManifestProblem {
    /// A problem at `place`.
    pub fn new(place: Place, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// All problems in a deployment; at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestProblems(pub Vec<ManifestProblem>);

impl ManifestProblems {
    /// Masks secrets, because problems quote values.
    pub(super) fn masked(mut self, mask: &Mask) -> Self {
        for problem in &mut self.0 {
            problem.message = mask.apply(&problem.message);
            problem.remedy = mask.apply(&problem.remedy);
        }
        self
    }
}

impl fmt::Display for ManifestProblems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{problem} ({})", problem.remedy)?;
        }
        Ok(())
    }
}
