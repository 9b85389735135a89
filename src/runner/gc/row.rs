//! The result for each resource that was found.

use std::time::Duration;

use crate::machine::DeadRun;

/// A resource that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcRow {
    /// The token of the run that left it; `None` if the run isn't known or several runs share it.
    pub run: Option<String>,
    /// How long ago the run was last active.
    pub age: Option<Duration>,
    /// The resource.
    pub resource: String,
    /// What happened to it.
    pub outcome: GcOutcome,
}

impl GcRow {
    /// The outcome for a resource that `run` left, or that no single run owns.
    pub(super) fn new(
        run: Option<&DeadRun>,
        resource: impl Into<String>,
        outcome: GcOutcome,
    ) -> Self {
        Self {
            run: run.map(|run| run.token.clone()),
            age: run.map(|run| run.age),
            resource: resource.into(),
            outcome,
        }
    }
}

/// What happened to a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GcOutcome {
    /// It would have been deleted.
    WouldDelete,
    /// It was deleted, and a check has shown that it is gone.
    Deleted,
    /// It was kept on purpose and stays; with the commands to inspect it.
    Kept(Vec<String>),
    /// It isn't ours or is in use, and stays; with the reason and what to do.
    LeftAlone(String),
    /// It could not be deleted; with the reason.
    Failed(String),
}

impl GcOutcome {
    /// Whether it should have been deleted and wasn't.
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::WouldDelete | Self::Deleted | Self::Kept(_) | Self::LeftAlone(_) => false,
        }
    }

    /// The name for reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WouldDelete => "would be deleted",
            Self::Deleted => "deleted",
            Self::Kept(_) => "kept",
            Self::LeftAlone(_) => "left alone",
            Self::Failed(_) => "FAILED",
        }
    }

    /// The details for reports.
    pub fn detail(&self) -> String {
        match self {
            Self::WouldDelete | Self::Deleted => String::new(),
            Self::Kept(commands) => commands.join("; "),
            Self::LeftAlone(reason) | Self::Failed(reason) => reason.clone(),
        }
    }
}
