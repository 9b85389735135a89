//! When a cell is retried, and how to count a cell that passed on a retry.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most further attempts that a file or an option may ask for: anything above is a slip of the pen.
pub const MOST_RETRIES: u32 = 100;

/// The longest pause before an attempt.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// A class of failures after which a cell may be retried. Configuration failures would only repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryClass {
    /// The agent broke the contract.
    Product,
    /// The machine, the engine or the network did not do its part.
    Infrastructure,
}

impl RetryClass {
    /// The classes, by their names in the file and on the command line.
    pub const ALL: [(&'static str, Self); 2] = [
        ("product", Self::Product),
        ("infrastructure", Self::Infrastructure),
    ];
}

/// What a cell that passed on a retry counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FlakyResult {
    /// It passed.
    #[default]
    Pass,
    /// It failed.
    Fail,
}

/// The retries of `[run]`, defaults filled in. Those of `[phases.*]` are beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// How many further attempts a cell gets, whichever phase it failed in. An outspoken 0 takes the phases' retries away too.
    pub retries: Option<u32>,
    /// Which classes of failures may be retried.
    pub on: BTreeSet<RetryClass>,
    /// The pause before the second attempt; it doubles with each one, up to [`LONGEST_BACKOFF`].
    pub backoff: Duration,
    /// What a cell that passed on a retry counts for.
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
