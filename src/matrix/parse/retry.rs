//! The keys about retries in `[run]` and in a phase.

use std::collections::BTreeSet;

use super::phases::duration;
use super::reader::{Entry, Table};
use crate::matrix::{FlakyResult, MOST_RETRIES, Phase, RetryClass, RetrySettings};

/// The keys of `[run]` that are read here.
pub(super) const KEYS: [&str; 4] = ["retries", "retry-on", "retry-backoff", "flaky-result"];

/// The retry settings of `[run]` with defaults.
pub(super) fn settings(run: &Table<'_>) -> RetrySettings {
    let default = RetrySettings::default();
    let classes = run.get("retry-on").and_then(classes);
    let backoff = run.get("retry-backoff").and_then(duration);
    let flaky = run.get("flaky-result").and_then(|entry| {
        entry.choice(&[("pass", FlakyResult::Pass), ("fail", FlakyResult::Fail)])
    });
    RetrySettings {
        retries: run.get("retries").and_then(count),
        on: classes.unwrap_or(default.on),
        backoff: backoff.unwrap_or(default.backoff),
        flaky_result: flaky.unwrap_or(default.flaky_result),
    }
}

/// `retries` of `[phases.<phase>]`.
pub(super) fn of_phase(phase: Phase, entry: Entry<'_>) -> Option<u32> {
    let retries = count(entry)?;
    let reason = match phase {
        Phase::Preflight => "it runs once per run, for all cells",
        Phase::Cleanup => "another attempt would only leave more behind",
        Phase::Cluster
        | Phase::Images
        | Phase::Manifests
        | Phase::Readiness
        | Phase::Assertions
        | Phase::RequestBodies
        | Phase::Periodic
        | Phase::Restart
        | Phase::LocalEndpoint => return Some(retries),
    };
    if retries > 0 {
        let message = format!("a cell that failed in `{phase}` is never retried");
        entry.problem(message, "", reason);
    }
    None
}

fn count(entry: Entry<'_>) -> Option<u32> {
    let help = format!("0 to {MOST_RETRIES} further attempts");
    let number = entry.integer(0..=u64::from(MOST_RETRIES), &help)?;
    u32::try_from(number).ok()
}

fn classes(entry: Entry<'_>) -> Option<BTreeSet<RetryClass>> {
    // Every element is read, so that all problems are reported at once.
    let read: Vec<_> = entry.list()?.into_iter().map(class).collect();
    read.into_iter().collect()
}

fn class(entry: Entry<'_>) -> Option<RetryClass> {
    if entry.value.as_str() == Some("configuration") {
        let message = "failures of class configuration are never retried";
        entry.problem(
            message,
            "",
            "they would fail again; leave it out of `retry-on`",
        );
        return None;
    }
    entry.choice(&RetryClass::ALL)
}
