//! Checks that nextest gives cells as much time as their own deadlines allow, so that a cell that hangs fails in its
//! phase and cleans up.

use std::time::Duration;

use e2e_matrix::matrix::{Phase, PhaseSettings};
use toml::{Table, Value};

/// The longest time that diagnostics can take, plus the time for the reports after cleanup.
const DIAGNOSTICS_AND_REPORTS: Duration = Duration::from_secs(30);

/// The pause before a second attempt, including its jitter.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

const PROFILES: [&str; 4] = ["default", "local", "ci", "nightly"];

fn configuration() -> Table {
    include_str!("../../.config/nextest.toml").parse().unwrap()
}

fn duration(of: &Value, key: &str) -> Duration {
    humantime::parse_duration(of[key].as_str().unwrap()).unwrap()
}

/// All `slow-timeout` settings of a profile, including those of its overrides.
fn slow_timeouts(profile: &Value) -> Vec<&Value> {
    let overrides = profile.get("overrides").and_then(Value::as_array);
    let all = std::iter::once(profile).chain(overrides.into_iter().flatten());
    all.filter_map(|table| table.get("slow-timeout")).collect()
}

#[test]
fn the_grace_period_is_no_shorter_than_diagnostics_and_cleanup_in_every_profile() {
    let needed = PhaseSettings::default()[Phase::Cleanup].timeout + DIAGNOSTICS_AND_REPORTS;
    let configuration = configuration();
    let default = &configuration["profile"]["default"];
    assert!(
        default.get("slow-timeout").is_some(),
        "the default profile must have a slow-timeout, which the others inherit"
    );
    for name in PROFILES {
        for timeout in slow_timeouts(&configuration["profile"][name]) {
            assert!(
                duration(timeout, "grace-period") >= needed,
                "{name}: {timeout}"
            );
        }
    }
}

/// How many times in a row a phase can use up its deadline: `restart` reads the counters three times and waits three
/// times.
fn deadlines(phase: Phase) -> u32 {
    if phase == Phase::Restart { 6 } else { 1 }
}

/// The longest time that attempts can take if they are retried by default: the phases up to the last one that is
/// retried, cleanup, diagnostics, reports, and the pause.
fn first_attempts(settings: &PhaseSettings) -> Duration {
    let retried = Phase::ALL
        .into_iter()
        .filter(|phase| settings[*phase].retries > 0);
    let last = retried.max().unwrap();
    let executed = Phase::ALL.into_iter().filter(|phase| *phase <= last);
    let phases: Duration = executed.map(|phase| settings[phase].timeout).sum();
    phases + settings[Phase::Cleanup].timeout + DIAGNOSTICS_AND_REPORTS + RETRY_PAUSE
}

#[test]
fn a_cell_is_not_terminated_before_its_own_deadlines() {
    let settings = PhaseSettings::default();
    let sum: Duration = Phase::ALL
        .into_iter()
        .map(|phase| settings[phase].timeout * deadlines(phase))
        .sum();
    let sum = sum + first_attempts(&settings);
    let configuration = configuration();
    let overrides = configuration["profile"]["default"]["overrides"]
        .as_array()
        .unwrap();
    let cells = &overrides[0]["slow-timeout"];
    let periods = u32::try_from(cells["terminate-after"].as_integer().unwrap()).unwrap();
    let whole = duration(cells, "period") * periods;
    assert!(
        whole >= sum + DIAGNOSTICS_AND_REPORTS,
        "{whole:?} for {sum:?}"
    );
}

#[test]
fn every_profile_writes_junit_and_retries_nothing() {
    let configuration = configuration();
    for name in PROFILES {
        let profile = &configuration["profile"][name];
        assert_eq!(
            profile["junit"]["path"].as_str(),
            Some("junit.xml"),
            "{name}"
        );
        assert!(
            profile
                .get("retries")
                .is_none_or(|retries| retries.as_integer() == Some(0)),
            "{name}"
        );
    }
}
