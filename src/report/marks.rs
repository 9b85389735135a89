//! The short forms in all tables: the marks of phases with their tones, and the headings of narrow columns.
//!
//! All marks can be distinguished without color.

use super::text;
use crate::event::{CellVerdict, Execution, Failure, FailureClass, RunVerdict};
use crate::matrix::{Counter, Phase};
use crate::record::model::{CellModel, PhaseModel, PhaseOutcome, RunModel};

/// A phase or step that takes less than this many milliseconds in every cell is left out of the tables. Its duration
/// would be shown as 0.0.
pub(crate) const QUICK_MS: u64 = 100;

/// The tone of a mark, which a report may show as a color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Quiet,
    Warning,
    Bad,
}

impl Tone {
    /// The CSS class in HTML.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Quiet => "quiet",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// The result of a phase, as shown in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Passed,
    Simulated,
    Failed,
    Error,
    Interrupted,
    Skipped,
}

impl Mark {
    pub(crate) const ALL: [Self; 6] = [
        Self::Passed,
        Self::Simulated,
        Self::Failed,
        Self::Error,
        Self::Interrupted,
        Self::Skipped,
    ];

    pub(crate) fn of(phase: &PhaseModel) -> Self {
        match &phase.outcome {
            PhaseOutcome::Passed => match phase.execution {
                Execution::Run => Self::Passed,
                Execution::Simulated => Self::Simulated,
            },
            PhaseOutcome::Failed(failure) => Self::of_failure(failure),
            PhaseOutcome::Interrupted(_) => Self::Interrupted,
            PhaseOutcome::Skipped(_) => Self::Skipped,
        }
    }

    pub(crate) const fn of_failure(failure: &Failure) -> Self {
        match failure.class() {
            FailureClass::Product => Self::Failed,
            FailureClass::Configuration | FailureClass::Infrastructure => Self::Error,
        }
    }

    /// The mark in at most four characters. The mark of a passed phase is its duration.
    pub(crate) fn narrow(self, duration_ms: u64) -> String {
        match self {
            Self::Passed => text::narrow_duration(duration_ms),
            Self::Simulated => "sim".to_owned(),
            Self::Failed => "FAIL".to_owned(),
            Self::Error => "ERR".to_owned(),
            Self::Interrupted => "CUT".to_owned(),
            Self::Skipped => "-".to_owned(),
        }
    }

    /// The mark in one character, for a narrow terminal.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Passed => '.',
            Self::Simulated => 's',
            Self::Failed => 'F',
            Self::Error => 'E',
            Self::Interrupted => 'C',
            Self::Skipped => '-',
        }
    }

    /// The meaning, as shown in a legend.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Simulated => "simulated",
            Self::Failed => "product failure",
            Self::Error => "infrastructure or configuration failure",
            Self::Interrupted => "interrupted",
            Self::Skipped => "not run",
        }
    }

    pub(crate) const fn tone(self) -> Tone {
        match self {
            Self::Passed => Tone::Good,
            Self::Simulated | Self::Skipped => Tone::Quiet,
            Self::Error | Self::Interrupted => Tone::Warning,
            Self::Failed => Tone::Bad,
        }
    }
}

/// The word for a verdict, in capitals if the verdict needs attention.
pub(crate) fn verdict_word(verdict: CellVerdict) -> String {
    match verdict {
        CellVerdict::Failed | CellVerdict::Error | CellVerdict::Interrupted => {
            verdict.name().to_uppercase()
        }
        CellVerdict::Passed | CellVerdict::Flaky | CellVerdict::Skipped => verdict.to_string(),
    }
}

pub(crate) const fn verdict_tone(verdict: CellVerdict) -> Tone {
    match verdict {
        CellVerdict::Passed => Tone::Good,
        CellVerdict::Skipped => Tone::Quiet,
        CellVerdict::Failed => Tone::Bad,
        CellVerdict::Flaky | CellVerdict::Error | CellVerdict::Interrupted => Tone::Warning,
    }
}

/// Whether the cell failed, but is allowed to fail.
fn is_starred(cell: &CellModel) -> bool {
    cell.is_failure() && cell.summary.allow_failure
}

/// Whether a verdict in `run` has a star.
pub(crate) fn has_star(run: &RunModel) -> bool {
    run.cells.iter().any(is_starred)
}

/// A cell's verdict and its tone. If the cell failed but is allowed to fail, its verdict has a star, and only the tone
/// of a warning.
pub(crate) fn verdict(cell: &CellModel) -> (String, Tone) {
    if is_starred(cell) {
        return (format!("{}*", cell.verdict), Tone::Warning);
    }
    (verdict_word(cell.verdict), verdict_tone(cell.verdict))
}

pub(crate) const fn run_tone(run: &RunModel) -> Tone {
    match run.verdict {
        Some(RunVerdict::Passed) => Tone::Good,
        Some(RunVerdict::NothingToDo) => Tone::Quiet,
        Some(
            RunVerdict::ConfigurationFailure
            | RunVerdict::InfrastructureFailure
            | RunVerdict::Interrupted { .. },
        )
        | None => Tone::Warning,
        Some(RunVerdict::ProductFailure | RunVerdict::FlakyFailure | RunVerdict::RunnerBug) => {
            Tone::Bad
        }
    }
}

/// The heading of a phase's narrow column.
pub(crate) const fn phase_head(phase: Phase) -> &'static str {
    match phase {
        Phase::Preflight => "preflt",
        Phase::Cluster => "cluster",
        Phase::Images => "images",
        Phase::Manifests => "manif",
        Phase::Readiness => "ready",
        Phase::Assertions => "assert",
        Phase::RequestBodies => "bodies",
        Phase::Periodic => "period",
        Phase::Restart => "restart",
        Phase::LocalEndpoint => "local",
        Phase::Cleanup => "clean",
    }
}

/// A counter's name without the suffix that all of them share.
pub(crate) fn short_counter(name: &str) -> &str {
    name.trim_end_matches("_count")
}

/// The heading of a counter's narrow column.
pub(crate) fn counter_head(name: &str) -> &str {
    let Some(counter) = Counter::from_name(name) else {
        return short_counter(name);
    };
    match counter {
        Counter::RegistrationCount => "reg",
        Counter::HeartbeatCount => "beat",
        Counter::StateCount => "state",
        Counter::CapabilitiesCount => "caps",
        Counter::DriftCount => "drift",
        Counter::MetricsCount => "metr",
        Counter::LogsCount => "logs",
        Counter::AuditCount => "audit",
        Counter::LocalMetricsCount => "l.metr",
        Counter::LocalLogsCount => "l.logs",
        Counter::LocalAuditCount => "l.audit",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn marks_differ_without_color() {
        let words: BTreeSet<_> = Mark::ALL.iter().map(|mark| mark.narrow(1200)).collect();
        let letters: BTreeSet<_> = Mark::ALL.iter().map(|mark| mark.letter()).collect();
        assert_eq!((words.len(), letters.len()), (6, 6));
    }

    #[test]
    fn heads_differ() {
        let phases: BTreeSet<_> = Phase::ALL.into_iter().map(phase_head).collect();
        let counters: BTreeSet<_> = Counter::ALL
            .into_iter()
            .map(|counter| counter_head(counter.name()))
            .collect();
        assert_eq!((phases.len(), counters.len()), (11, 11));
    }
}
