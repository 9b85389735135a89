//! `[phases.*]`: timeouts and other settings of phases.

use super::keys::{Keys, keys};
use super::run::retries;
use super::shape::{Shape, boolean, choice, duration};
use crate::matrix::nearest::quoted;
use crate::matrix::{Phase, PhaseSettings, RestartScope};

/// The keys of `[phases]`: the phases.
pub(super) fn phases() -> Keys<PhaseSettings> {
    Phase::ALL.into_iter().fold(Keys::new(), |keys, phase| {
        let own = of(phase);
        let doc = "The settings of the phase.";
        keys.reads(
            Some(phase.name()),
            own.schema(),
            doc,
            move |settings, reading| {
                if let Some(table) = reading.entry.table(format!("`[phases.{phase}]`")) {
                    own.read(settings, &table);
                }
            },
        )
    })
}

/// The keys of `[phases.<phase>]`.
pub(super) fn of(phase: Phase) -> Keys<PhaseSettings> {
    let setting = keys! { Keys::of(PhaseSettings::default()[phase]);
        /// The deadline of the phase.
        "timeout": duration() => timeout;
        /// How often a cell is retried if it failed in this phase.
        "retries": retries_of(phase) => retries;
        /// `false` skips the phase.
        "run": run(phase) => runs;
    };
    let keys = Keys::new().with(setting, move |settings: &mut PhaseSettings| {
        &mut settings[phase]
    });
    if phase == Phase::Readiness {
        return keys! { keys;
            /// The deadline for the mock's Deployment.
            "mock-timeout": duration() => mock_timeout;
        };
    }
    if phase == Phase::Restart {
        let scopes = [("one", RestartScope::One), ("all", RestartScope::All)];
        return keys! { keys;
            /// How many agents are deleted, `"one"` or `"all"`.
            "agents": choice(scopes) => restart;
        };
    }
    keys
}

fn retries_of(phase: Phase) -> Shape<u32> {
    let never = [
        (Phase::Preflight, "it runs once per run, for all cells"),
        (
            Phase::Cleanup,
            "another attempt would only leave more behind",
        ),
    ];
    let never = never.into_iter().find(|(known, _)| *known == phase);
    retries().checked(move |retries, entry| match never {
        Some((_, reason)) if *retries > 0 => {
            let message = format!("a cell that failed in `{phase}` is never retried");
            entry.fail(message, "", reason)
        }
        _ => Some(()),
    })
}

fn run(phase: Phase) -> Shape<bool> {
    boolean().checked(move |runs, entry| {
        if *runs || phase.can_be_turned_off() {
            return Some(());
        }
        let optional = Phase::ALL
            .into_iter()
            .filter(|phase| phase.can_be_turned_off());
        let message = format!("`{phase}` can't be skipped: every cell needs it");
        entry.fail(message, "", format!("these can: {}", quoted(optional)))
    })
}
