//! How phases, cells and runs end.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Evidence, Failure, FailureClass, LogExcerpt};
use crate::matrix::Phase;

/// How a phase's work was done on this provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// Really.
    Run,
    /// The provider has no such thing; it did what stands for it.
    Simulated,
}

/// How a phase ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum PhaseStatus {
    /// All of it held.
    Passed,
    /// Something did not.
    Failed {
        /// What.
        failure: Failure,
    },
    /// It was not looked at.
    Skipped {
        /// Why not.
        reason: String,
    },
}

/// A phase that has ended, or a command after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseResult {
    /// Which.
    pub phase: Phase,
    /// The command of the matrix file that has ended after the phase, if it is not the phase itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Really, or simulated by the provider.
    pub execution: Execution,
    /// How.
    pub status: PhaseStatus,
    /// How long it took, in milliseconds, without the time in which the run was stopped.
    pub duration_ms: u64,
    /// What was checked and held, for the report; what did not hold is in the failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Things to know that change no verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The end of what a command printed that passed; a failure brings its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogExcerpt>,
}

impl PhaseResult {
    /// The name of the command, or else of the phase.
    pub fn name(&self) -> &str {
        self.command.as_deref().unwrap_or(self.phase.name())
    }
}

/// How a cell ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CellVerdict {
    /// Every phase passed.
    Passed,
    /// Every phase passed, but not at the first attempt.
    Flaky,
    /// The product broke the contract.
    Failed,
    /// Infrastructure or configuration kept the suite from its verdict.
    Broken,
    /// It was not started.
    Skipped,
    /// The run was interrupted before it ended.
    Interrupted,
}

impl CellVerdict {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Flaky => "flaky",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether the suite came to it, rather than the end of the run: whoever goes on with the run keeps it.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Passed | Self::Flaky | Self::Failed | Self::Broken => true,
            Self::Skipped | Self::Interrupted => false,
        }
    }

    /// The verdict that a failure of that class gives.
    pub const fn of_class(class: FailureClass) -> Self {
        match class {
            FailureClass::Product => Self::Failed,
            FailureClass::Configuration | FailureClass::Infrastructure => Self::Broken,
        }
    }
}

impl fmt::Display for CellVerdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// What ended the run before its cells had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Termination {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM, or a closed terminal.
    Terminate,
    /// The time that the run was given is up.
    RunTimeout,
}

impl Termination {
    /// The signal's name, or the option's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::RunTimeout => "--run-timeout",
        }
    }
}

/// How a run ended: the first of these that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum RunVerdict {
    /// A signal ended it, or its time was up before its cells had ended. A signal comes before all others; a time-out comes after the
    /// failures that were seen until then.
    Interrupted {
        /// Which.
        by: Termination,
    },
    /// A cell that counts has a product failure.
    ProductFailure,
    /// A cell that counts passed on a retry only, and the run was told that this is a failure.
    FlakyFailure,
    /// A cell that counts has a failure of class configuration.
    ConfigurationFailure,
    /// A cell that counts has a failure of class infrastructure.
    InfrastructureFailure,
    /// No cell, or every cell skipped.
    NothingToDo,
    /// A bug in the runner.
    RunnerBug,
    /// All passed.
    Passed,
}

/// The counters of one node, or of all together: name to value, in the mock's names.
pub type CounterTable = BTreeMap<String, u64>;

/// The counters that a cell's mock had in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeCounters {
    /// Summed.
    pub total: CounterTable,
    /// Per node, by the name it registered under.
    pub nodes: BTreeMap<String, CounterTable>,
}

/// How a cell went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellEnd {
    /// What failed, the first failure first.
    pub failures: Vec<Failure>,
    /// The phase of the first failure.
    pub failed_in: Option<Phase>,
    /// Clean-up could not prove that nothing is left.
    pub left_behind: bool,
    /// A signal came, or the run's time was up, before the last phase had ended.
    pub interrupted: bool,
}
