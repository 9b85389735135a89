//! The ways in which phases, cells and runs end.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Evidence, Failure, FailureClass, LogExcerpt};
use crate::matrix::{Phase, named};

/// Whether a phase really ran on this provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// The phase really ran.
    Run,
    /// The provider has nothing to run in this phase, and simulated it.
    Simulated,
}

/// How a phase ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum PhaseStatus {
    /// All checks held.
    Passed,
    /// A check failed.
    Failed {
        /// The failure.
        failure: Failure,
    },
    /// The phase was skipped.
    Skipped {
        /// The reason.
        reason: String,
    },
}

/// A phase, or a command after it, that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseResult {
    /// The phase.
    pub phase: Phase,
    /// The command of the matrix file; absent if this is the phase itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether the phase really ran or was simulated by the provider.
    pub execution: Execution,
    /// How it ended.
    pub status: PhaseStatus,
    /// How long it took, in milliseconds, without the time during which the run was stopped.
    pub duration_ms: u64,
    /// The checks that held. The checks that failed are part of the failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Warnings, which don't change the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// An excerpt from the output of a command that passed. The excerpts of a failure are part of the failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogExcerpt>,
}

impl PhaseResult {
    /// The name of the command, or of the phase.
    pub fn name(&self) -> &str {
        self.command.as_deref().unwrap_or(self.phase.name())
    }
}

named! {
    /// How a cell ended.
    #[derive(
        Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
    )]
    #[serde(rename_all = "kebab-case")]
    pub enum CellVerdict {
        /// Every phase passed.
        Passed = "passed",
        /// Every phase passed, on a retry.
        Flaky = "flaky",
        /// The product violated the contract.
        Failed = "failed",
        /// An infrastructure or configuration failure prevented a verdict on the product.
        Error = "error",
        /// The cell was not started.
        Skipped = "skipped",
        /// The run was interrupted before the cell ended.
        Interrupted = "interrupted",
    }
}

impl CellVerdict {
    /// Whether the suite itself, and not the end of the run, determined the verdict. `--resume` keeps such a verdict.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Passed | Self::Flaky | Self::Failed | Self::Error => true,
            Self::Skipped | Self::Interrupted => false,
        }
    }

    /// The verdict for a failure of this class.
    pub const fn of_class(class: FailureClass) -> Self {
        match class {
            FailureClass::Product => Self::Failed,
            FailureClass::Configuration | FailureClass::Infrastructure => Self::Error,
        }
    }
}

named! {
    /// What ended a run early.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum Termination {
        /// SIGINT, Ctrl-C.
        Interrupt = "SIGINT",
        /// SIGTERM, or a closed terminal.
        Terminate = "SIGTERM",
        /// The run timeout (`--run-timeout`) was reached.
        RunTimeout = "--run-timeout",
    }
}

/// How a run ended. If several apply, the first one is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum RunVerdict {
    /// A signal ended the run, or the run timeout was reached before its cells had ended. A signal takes precedence over
    /// everything else; a timeout doesn't hide the failures seen before.
    Interrupted {
        /// The signal or the timeout.
        by: Termination,
    },
    /// A cell has a product failure and isn't allowed to fail.
    ProductFailure,
    /// A cell passed only on a retry, and the run counts that as a failure.
    FlakyFailure,
    /// A cell has a configuration failure and isn't allowed to fail.
    ConfigurationFailure,
    /// A cell has an infrastructure failure and isn't allowed to fail.
    InfrastructureFailure,
    /// There were no cells, or every cell was skipped.
    NothingToDo,
    /// The runner has a bug.
    RunnerBug,
    /// Every cell that counts passed.
    Passed,
}

/// The counters of one node, or of all nodes together, by the names that the mock uses for them.
pub type CounterTable = BTreeMap<String, u64>;

/// The last counters of a cell's mock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeCounters {
    /// The sums over all nodes.
    pub total: CounterTable,
    /// The counters of each node, by the name under which it registered.
    pub nodes: BTreeMap<String, CounterTable>,
}

/// How a cell or an attempt ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellEnd {
    /// The failures, in order.
    pub failures: Vec<Failure>,
    /// The phase of the first failure.
    pub failed_in: Option<Phase>,
    /// Whether resources may still exist after cleanup.
    pub left_behind: bool,
    /// Whether a signal or the run timeout interrupted the cell.
    pub interrupted: bool,
}
