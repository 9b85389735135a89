//! The options about retries, repetitions, and what ends a run early.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::matrix::{
    DEADLINES, DurationError, FlakyResult, MOST_RETRIES, RUN_TIMEOUTS, RetryClass, RetrySettings,
    parse_duration,
};
use crate::runner::{Course, StopAfter};

/// The most rounds that can be requested: all of their cells are known from the start.
const MOST_ROUNDS: i64 = 10_000;

/// The largest value of `--max-fail`.
const MOST_FAILURES: usize = 1_000_000;

/// Retries, repetitions, and what ends a run early.
#[derive(Debug, Args)]
pub(in crate::cli) struct CourseOptions {
    /// How often a failed cell is retried, each time on a fresh cluster, 0 to 100; 0 turns all retries off [default: from the matrix
    /// file, or once for infrastructure failures in `cluster` and `images`]
    #[arg(long, env = "E2E_MATRIX_RETRIES", value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MOST_RETRIES)))]
    pub(in crate::cli) retries: Option<u32>,
    /// Which classes of failures are retried [default: from the matrix file, or `infrastructure`]
    #[arg(
        long,
        env = "E2E_MATRIX_RETRY_ON",
        value_name = "CLASS",
        value_delimiter = ',',
        value_parser = retry_class
    )]
    pub(in crate::cli) retry_on: Vec<RetryClass>,
    /// The pause before the first retry; it doubles with each retry, up to a minute; at most 24h [default: from the matrix file, or `1s`]
    #[arg(long, env = "E2E_MATRIX_RETRY_BACKOFF", value_name = "DURATION", value_parser = pause)]
    pub(in crate::cli) retry_backoff: Option<Duration>,
    /// How to count a cell that passed on a retry [default: from the matrix file, or `pass`]
    #[arg(long, env = "E2E_MATRIX_FLAKY_RESULT", value_name = "RESULT")]
    pub(in crate::cli) flaky_result: Option<Flaky>,
    /// Runs each selected cell this many times, 1 to 10000, each time on its own cluster
    #[arg(long, env = "E2E_MATRIX_REPEAT", value_name = "N", value_parser = rounds)]
    pub(in crate::cli) repeat: Option<NonZeroU32>,
    /// Repeats the selected cells until one fails, at most `--repeat` times
    #[arg(long, env = "E2E_MATRIX_UNTIL_FAILURE")]
    pub(in crate::cli) until_failure: bool,
    /// Starts no further cell after the first failure
    #[arg(long, env = "E2E_MATRIX_FAIL_FAST", conflicts_with = "max_fail")]
    pub(in crate::cli) fail_fast: bool,
    /// Starts no further cell after this many failures, 1 to 1000000
    #[arg(long, env = "E2E_MATRIX_MAX_FAIL", value_name = "N", value_parser = failures)]
    pub(in crate::cli) max_fail: Option<NonZeroUsize>,
    /// Ends the run in order after this time: cells are interrupted and cleaned up; at most 30 days
    #[arg(long, env = "E2E_MATRIX_RUN_TIMEOUT", value_name = "DURATION", value_parser = run_timeout)]
    pub(in crate::cli) run_timeout: Option<Duration>,
}

/// How to count a cell that passed on a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Flaky {
    /// It passed
    Pass,
    /// It failed: exit code 1
    Fail,
}

impl CourseOptions {
    /// Overrides the settings of the file.
    pub(in crate::cli) fn apply(&self, settings: &mut RetrySettings) {
        settings.retries = self.retries.or(settings.retries);
        if !self.retry_on.is_empty() {
            settings.on = self.retry_on.iter().copied().collect();
        }
        settings.backoff = self.retry_backoff.unwrap_or(settings.backoff);
        settings.flaky_result = match self.flaky_result {
            Some(Flaky::Pass) => FlakyResult::Pass,
            Some(Flaky::Fail) => FlakyResult::Fail,
            None => settings.flaky_result,
        };
    }

    /// The repetitions, and what ends the run early.
    pub(in crate::cli) fn course(&self) -> Course {
        Course {
            repeat: self.repeat,
            until_failure: self.until_failure,
            stop_after: if self.fail_fast {
                Some(StopAfter::First)
            } else {
                self.max_fail.map(StopAfter::Count)
            },
            timeout: self.run_timeout,
        }
    }
}

fn retry_class(text: &str) -> Result<RetryClass, String> {
    let mut classes = RetryClass::ALL.into_iter();
    if let Some((_, class)) = classes.find(|(name, _)| *name == text) {
        return Ok(class);
    }
    Err(match text {
        "configuration" => {
            "failures of class configuration are never retried, because they would fail again"
        }
        _ => "the classes are `product` and `infrastructure`",
    }
    .to_owned())
}

fn failures(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse::<NonZeroUsize>().ok();
    number
        .filter(|number| number.get() <= MOST_FAILURES)
        .ok_or_else(|| format!("a run ends early after 1 to {MOST_FAILURES} red cells"))
}

fn rounds(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse::<NonZeroU32>().ok();
    number
        .filter(|number| i64::from(number.get()) <= MOST_ROUNDS)
        .ok_or_else(|| format!("a cell is run 1 to {MOST_ROUNDS} times"))
}

fn pause(text: &str) -> Result<Duration, DurationError> {
    parse_duration(text, &DEADLINES)
}

fn run_timeout(text: &str) -> Result<Duration, DurationError> {
    parse_duration(text, &RUN_TIMEOUTS)
}
