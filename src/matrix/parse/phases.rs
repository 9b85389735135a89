//! `[phases.*]`: timeouts and other settings of phases.

use super::keys::{Keys, keys, schema};
use super::run::retries;
use super::shape::{Shape, boolean, choice, duration};
use crate::matrix::nearest::quoted;
use crate::matrix::{Phase, PhaseSettings, RestartScope};

/// `[phases]`.
pub(super) fn phases(keys: &mut Keys<'_>) -> PhaseSettings {
    let mut settings = PhaseSettings::default();
    for phase in Phase::ALL {
        let schema = || schema(|keys| of(phase, keys, &mut PhaseSettings::default()));
        let entry = keys.entry(phase.name(), "The settings of the phase.", schema);
        let name = format!("`[phases.{phase}]`");
        if let Some(table) = entry.and_then(|entry| entry.table(name)) {
            Keys::read(table, |keys| of(phase, keys, &mut settings));
        }
    }
    settings
}

/// `[phases.<phase>]`.
pub(super) fn of(phase: Phase, keys: &mut Keys<'_>, settings: &mut PhaseSettings) {
    keys! { keys;
        /// The timeout of the phase.
        "timeout": duration() => settings[phase].timeout;
        /// How many times a cell is retried if it failed in this phase.
        "retries": retries_of(phase) => settings[phase].retries;
        /// `false` skips the phase.
        "run": run(phase) => settings[phase].runs;
    }
    if phase == Phase::Readiness {
        keys! { keys;
            /// The timeout for the mock's Deployment.
            "mock-timeout": duration() => settings.mock_timeout;
        }
    }
    if phase == Phase::Restart {
        keys! { keys;
            /// How many agents are deleted, `"one"` or `"all"`.
            "agents": choice(RestartScope::NAMES) => settings.restart;
        }
    }
}

fn retries_of(phase: Phase) -> Shape<u32> {
    let never = [
        (Phase::Preflight, "it runs once for all cells"),
        (
            Phase::Cleanup,
            "another attempt would only leave more resources behind",
        ),
    ];
    let Some((_, reason)) = never.into_iter().find(|(known, _)| *known == phase) else {
        return retries();
    };
    retries().checked(
        |retries| *retries == 0,
        move |_, _| format!("a cell that failed in `{phase}` is never retried"),
        reason,
    )
}

fn run(phase: Phase) -> Shape<bool> {
    let phases = Phase::ALL.into_iter();
    let optional = phases.filter(|phase| phase.can_be_turned_off());
    boolean().checked(
        move |runs| *runs || phase.can_be_turned_off(),
        move |_, _| format!("`{phase}` can't be skipped, because every cell needs it"),
        format!("these phases can be skipped: {}", quoted(optional)),
    )
}
