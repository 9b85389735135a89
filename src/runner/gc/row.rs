//! What is said of each thing that was found.

use std::time::Duration;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcRow {
    /// The token of the run that left it; none where no run is known, or several have it in common.
    pub run: Option<String>,
    /// How long ago the run was alive for the last time.
    pub age: Option<Duration>,
    /// What.
    pub resource: String,
    /// What became of it.
    pub outcome: GcOutcome,
}

/// What became of something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GcOutcome {
    /// It would have been removed.
    WouldRemove,
    /// It was removed, and is proven gone.
    Removed,
    /// It stays: a run kept it on purpose. How to look inside.
    Kept(Vec<String>),
    /// It stays: it is not ours to remove, or in use. Why, and what to do.
    LeftAlone(String),
    /// It could not be removed. Why.
    Failed(String),
}

impl GcOutcome {
    /// Whether it should have gone and did not.
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::WouldRemove | Self::Removed | Self::Kept(_) | Self::LeftAlone(_) => false,
        }
    }

    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WouldRemove => "would be removed",
            Self::Removed => "removed",
            Self::Kept(_) => "kept",
            Self::LeftAlone(_) => "left alone",
            Self::Failed(_) => "FAILED",
        }
    }

    /// What there is to say beside the word.
    pub fn detail(&self) -> String {
        match self {
            Self::WouldRemove | Self::Removed => String::new(),
            Self::Kept(commands) => commands.join("; "),
            Self::LeftAlone(reason) | Self::Failed(reason) => reason.clone(),
        }
    }
}
