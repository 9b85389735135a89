//! The agent's clock: the machine's clock, unless a fault shifts it.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};

use crate::fault::{Fault, Faults};

/// How far a fault shifts the clock.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

static OFFSET: OnceLock<SignedDuration> = OnceLock::new();

/// Sets the clock according to `faults`. `restarted` is true if an earlier process ran. Only the first call in a
/// process has an effect.
pub(crate) fn set(faults: &Faults, restarted: bool) {
    OFFSET.get_or_init(|| {
        if faults.has(Fault::ClockAhead) {
            SKEW
        } else if faults.has(Fault::ClockBehind) || (restarted && faults.has(Fault::ClockSetBack)) {
            -SKEW
        } else {
            SignedDuration::ZERO
        }
    });
}

/// The time for everything that the agent reports.
pub(crate) fn now() -> Timestamp {
    let offset = OFFSET.get().copied().unwrap_or_default();
    Timestamp::now() + offset
}
