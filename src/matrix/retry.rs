//! When to retry a cell, and how to count a cell that passed on a retry.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named;

/// The maximum number of retries that a file or an option may request.
pub const MAX_RETRIES: u32 = 100;

/// The delay before a retry doubles with each retry, up to this limit.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);

named! {
    /// A class of failures after which a cell may be retried. Configuration failures aren't among them, because a retry
    /// would only repeat them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum RetryClass {
        /// The agent violated the contract.
        Product = "product",
        /// The machine, the engine or the network failed.
        Infrastructure = "infrastructure",
    }
}

named! {
    /// How to count a cell that passed on a retry.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum FlakyResult {
        /// As passed.
        #[default]
        Pass = "pass",
        /// As failed.
        Fail = "fail",
    }
}

/// The retry settings of `[run]`, with defaults. Those of `[phases.*]` are separate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// How many times a cell is retried, regardless of the phase in which it failed. An explicit `0` also turns off the
    /// retries of phases.
    pub retries: Option<u32>,
    /// The classes of failures that may be retried.
    pub on: BTreeSet<RetryClass>,
    /// The delay before the second attempt. It doubles with each further attempt, up to [`MAX_BACKOFF`]. A delay that
    /// is already longer doesn't change.
    pub backoff: Duration,
    /// How to count a cell that passed on a retry.
    pub flaky_result: FlakyResult,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            retries: None,
            on: BTreeSet::from([RetryClass::Infrastructure]),
            backoff: Duration::from_secs(1),
            flaky_result: FlakyResult::Pass,
        }
    }
}
