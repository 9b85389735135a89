//! `[phases.*]`: timeouts and other settings of phases.

use std::time::Duration;

use super::reader::{Entry, Table};
use super::retry;
use crate::matrix::nearest::{nearest, quoted};
use crate::matrix::problem::Problem;
use crate::matrix::{DEADLINES, DurationError, Phase, PhaseSettings, RestartScope, parse_duration};

/// The `[phases]` table with defaults.
pub(super) fn read(root: &Table<'_>) -> PhaseSettings {
    let mut settings = PhaseSettings::default();
    let table = root.table("phases");
    for entry in table.iter().flat_map(Table::entries) {
        let name = format!("`[phases.{}]`", entry.key);
        if let (Some(phase), Some(table)) = (phase(entry), entry.table(name)) {
            apply(&mut settings, phase, &table);
        }
    }
    settings
}

fn phase(entry: Entry<'_>) -> Option<Phase> {
    let found = Phase::ALL
        .into_iter()
        .find(|phase| phase.name() == entry.key);
    if found.is_none() {
        let names = || Phase::ALL.into_iter().map(Phase::name);
        let help = match nearest(entry.key, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the phases are {}", quoted(names())),
        };
        entry.report.add(
            Problem::at(
                entry.key_span,
                format!("`{}` is not a phase", entry.key),
                "",
            )
            .with_help(help),
        );
    }
    found
}

fn apply(settings: &mut PhaseSettings, phase: Phase, table: &Table<'_>) {
    let own: &[&str] = match phase {
        Phase::Readiness => &["mock-timeout"],
        Phase::Restart => &["agents"],
        Phase::Preflight
        | Phase::Cluster
        | Phase::Images
        | Phase::Manifests
        | Phase::Assertions
        | Phase::RequestBodies
        | Phase::Periodic
        | Phase::LocalEndpoint
        | Phase::Cleanup => &[],
    };
    table.only(&[&["timeout", "retries", "run"], own].concat());
    let own = |key: &str| own.contains(&key).then(|| table.get(key)).flatten();
    if let Some(timeout) = table.get("timeout").and_then(duration) {
        settings.set_timeout(phase, timeout);
    }
    let retries = table.get("retries");
    if let Some(retries) = retries.and_then(|entry| retry::of_phase(phase, entry)) {
        settings.set_retries(phase, retries);
    }
    if let Some(run) = table.get("run")
        && run.boolean() == Some(false)
    {
        turn_off(settings, phase, run);
    }
    if let Some(timeout) = own("mock-timeout").and_then(duration) {
        settings.mock_timeout = timeout;
    }
    if let Some(scope) = own("agents").and_then(restart_scope) {
        settings.restart = scope;
    }
}

fn turn_off(settings: &mut PhaseSettings, phase: Phase, entry: Entry<'_>) {
    if phase.can_be_turned_off() {
        settings.turn_off(phase);
        return;
    }
    let phases = Phase::ALL.into_iter();
    let optional = phases.filter(|phase| phase.can_be_turned_off());
    entry.problem(
        format!("`{phase}` can't be skipped: every cell needs it"),
        "",
        format!("these can: {}", quoted(optional.map(Phase::name))),
    );
}

fn restart_scope(entry: Entry<'_>) -> Option<RestartScope> {
    entry.choice(&[("one", RestartScope::One), ("all", RestartScope::All)])
}

/// A timeout or a delay.
pub(super) fn duration(entry: Entry<'_>) -> Option<Duration> {
    let examples = "a number with its unit: `\"500ms\"`, `\"90s\"`, `\"2m\"`";
    if entry.value.is_integer() {
        let source = entry.report.source(entry.span);
        let message = format!("`{}` is a duration, which needs a unit", entry.key);
        entry.problem(message, "", format!("in seconds: `\"{source}s\"`"));
        return None;
    }
    let read = |text: &str| {
        parse_duration(text, &DEADLINES).map_err(|error| match error {
            DurationError::Form(error) => format!("no duration: {error}"),
            DurationError::Range { .. } => format!("`{}` {error}", entry.key),
        })
    };
    entry.parsed(read, examples).map(|parsed| parsed.value)
}
