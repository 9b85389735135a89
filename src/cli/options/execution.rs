//! How cells run: how many at once, how many times, how long, and what ends a run early.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;

use super::choice::one_of;
use crate::matrix::{
    FlakyResult, Jobs, MAX_RETRIES, Matrix, Phase, RUN_TIMEOUTS, RetryClass, TIMEOUTS,
    parse_duration,
};
use crate::runner::RunPolicy;

/// The largest value of `--repeat`. It is limited because the cells of all rounds are planned before the first cell
/// starts.
const MAX_ROUNDS: u32 = 10_000;

/// The largest value of `--max-fail`.
const MAX_FAILURES: u32 = 1_000_000;

/// How cells run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Execution")]
pub(in crate::cli) struct ExecutionOptions {
    /// How many cells to run at once, or `auto`
    ///
    /// From 1 to 10000; `auto` means as many as the machine can handle. Defaults to the value in the matrix file, or `auto`.
    #[arg(long, short, env = "E2E_MATRIX_JOBS", value_name = "N", value_parser = jobs)]
    pub(in crate::cli) jobs: Option<Jobs>,
    /// How many times to retry a failed cell
    ///
    /// From 0 to 100; 0 disables all retries. Each retry gets a fresh cluster. Without this option, the matrix file decides; by default, only infrastructure failures in the
    /// phases `cluster` and `images` are retried, once per phase.
    #[arg(long, env = "E2E_MATRIX_RETRIES", value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_RETRIES)))]
    pub(in crate::cli) retries: Option<u32>,
    /// Which classes of failures to retry [default: from the matrix file, or `infrastructure`]
    #[arg(
        long,
        env = "E2E_MATRIX_RETRY_ON",
        value_name = "CLASS",
        value_delimiter = ',',
        value_parser = retry_class,
        hide_short_help = true
    )]
    pub(in crate::cli) retry_on: Vec<RetryClass>,
    /// The delay before the first retry [default: from the matrix file, or `1s`]
    ///
    /// At most 24h. The delay doubles with each further retry, up to one minute. A delay of more than a minute doesn't change.
    #[arg(long, env = "E2E_MATRIX_RETRY_BACKOFF", value_name = "DURATION", value_parser = |text: &str| parse_duration(text, &TIMEOUTS), hide_short_help = true)]
    pub(in crate::cli) retry_backoff: Option<Duration>,
    /// How to count a cell that passed on a retry [default: from the matrix file, or `pass`]
    #[arg(
        long,
        env = "E2E_MATRIX_FLAKY_RESULT",
        value_name = "RESULT",
        value_parser = one_of(&FLAKY_RESULTS, FlakyResult::name),
        hide_short_help = true
    )]
    pub(in crate::cli) flaky_result: Option<FlakyResult>,
    /// Run each selected cell this many times
    ///
    /// From 1 to 10000. Each repetition gets its own cluster.
    #[arg(long, env = "E2E_MATRIX_REPEAT", value_name = "N", value_parser = |text: &str| positive(text, MAX_ROUNDS))]
    pub(in crate::cli) repeat: Option<NonZeroU32>,
    /// Repeat the selected cells until one fails
    ///
    /// At most `--repeat` times, if that is set.
    #[arg(long, env = "E2E_MATRIX_UNTIL_FAILURE")]
    pub(in crate::cli) until_failure: bool,
    /// Start no further cells after the first failure
    #[arg(long, env = "E2E_MATRIX_FAIL_FAST", conflicts_with = "max_fail")]
    pub(in crate::cli) fail_fast: bool,
    /// Start no further cells after this many failures
    ///
    /// From 1 to 1000000.
    #[arg(long, env = "E2E_MATRIX_MAX_FAIL", value_name = "N", value_parser = |text: &str| positive(text, MAX_FAILURES), hide_short_help = true)]
    pub(in crate::cli) max_fail: Option<NonZeroU32>,
    /// Set the timeout of a phase, such as `readiness=180s`
    ///
    /// At most 24h. Can be repeated.
    #[arg(
        long,
        env = "E2E_MATRIX_PHASE_TIMEOUT",
        value_name = "PHASE=DURATION",
        value_delimiter = ',',
        value_parser = phase_timeout
    )]
    pub(in crate::cli) phase_timeout: Vec<(Phase, Duration)>,
    /// End the run after this time, such as `30m`
    ///
    /// At most 30 days. Running cells are interrupted, and their clusters are deleted.
    #[arg(long, env = "E2E_MATRIX_RUN_TIMEOUT", value_name = "DURATION", value_parser = |text: &str| parse_duration(text, &RUN_TIMEOUTS))]
    pub(in crate::cli) run_timeout: Option<Duration>,
    /// Pause the run in a phase until a signal arrives, for tests of the runner
    #[arg(long, env = "E2E_MATRIX_HOLD", value_name = "PHASE", value_parser = phase, hide = true)]
    pub(in crate::cli) hold: Option<Phase>,
}

/// How to count a cell that passed on a retry.
const FLAKY_RESULTS: [(FlakyResult, &str); 2] = [
    (FlakyResult::Pass, "As passed"),
    (FlakyResult::Fail, "As failed: exit code 1"),
];

impl ExecutionOptions {
    /// Overrides the settings of the matrix file.
    pub(in crate::cli) fn apply(&self, matrix: &mut Matrix) {
        matrix.run.jobs = self.jobs.unwrap_or(matrix.run.jobs);
        for (phase, timeout) in &self.phase_timeout {
            matrix.phases[*phase].timeout = *timeout;
        }
        let settings = &mut matrix.run.retry;
        settings.retries = self.retries.or(settings.retries);
        if !self.retry_on.is_empty() {
            settings.on = self.retry_on.iter().copied().collect();
        }
        settings.backoff = self.retry_backoff.unwrap_or(settings.backoff);
        settings.flaky_result = self.flaky_result.unwrap_or(settings.flaky_result);
    }

    /// The repetitions, and what ends the run early.
    pub(in crate::cli) fn policy(&self) -> RunPolicy {
        RunPolicy {
            repeat: self.repeat,
            until_failure: self.until_failure,
            fail_fast: self.fail_fast,
            max_fail: self.max_fail,
            timeout: self.run_timeout,
        }
    }
}

fn retry_class(text: &str) -> Result<RetryClass, &'static str> {
    RetryClass::from_name(text).ok_or(match text {
        "configuration" => {
            "configuration failures are never retried, because a retry would fail in the same way"
        }
        _ => "expected `product` or `infrastructure`",
    })
}

/// Parses a number from 1 to `max`.
fn positive(text: &str, max: u32) -> Result<NonZeroU32, String> {
    let number = text.parse::<NonZeroU32>().ok();
    number
        .filter(|number| number.get() <= max)
        .ok_or_else(|| format!("expected a number from 1 to {max}"))
}

fn jobs(text: &str) -> Result<Jobs, String> {
    if text == "auto" {
        return Ok(Jobs::Auto);
    }
    let jobs = text.parse().ok().and_then(Jobs::exactly);
    jobs.ok_or_else(|| format!("expected `auto` or a number from 1 to {}", Jobs::MAX))
}

fn phase(name: &str) -> Result<Phase, String> {
    let names = || Phase::ALL.map(Phase::name).join(", ");
    Phase::from_name(name)
        .ok_or_else(|| format!("`{name}` is not a phase; the phases are: {}", names()))
}

/// Parses `<phase>=<duration>`.
fn phase_timeout(text: &str) -> Result<(Phase, Duration), String> {
    let (name, duration) = text.split_once('=').ok_or(
        "expected `<phase>=<duration>`, such as `readiness=180s`; \
             for a timeout of the whole run, use `--run-timeout`",
    )?;
    let timeout =
        parse_duration(duration, &TIMEOUTS).map_err(|error| format!("`{duration}`: {error}"))?;
    Ok((phase(name)?, timeout))
}
