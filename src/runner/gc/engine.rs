//! The container engine, which need not be there.

use std::time::Duration;

use crate::cluster::kind::Reclaimer;
use crate::deadline::Deadline;

/// How long it may take to say that it is there.
const ANSWERS: Duration = Duration::from_secs(10);

/// The engine, or why there is none.
pub(super) enum Engine {
    There(Reclaimer),
    Gone(String),
}

impl Engine {
    pub(super) async fn connect(deadline: &Deadline) -> Self {
        match deadline.within(ANSWERS).run(Reclaimer::connect()).await {
            Ok(Ok(reclaimer)) => Self::There(reclaimer),
            Ok(Err(failure)) => Self::Gone(failure.message),
            Err(timed_out) => Self::Gone(format!("the container engine {timed_out}")),
        }
    }

    /// The engine, for what can't be looked at without it.
    pub(super) fn needed(&self) -> Result<&Reclaimer, String> {
        match self {
            Self::There(reclaimer) => Ok(reclaimer),
            Self::Gone(reason) => Err(reason.clone()),
        }
    }

    /// The engine, for what is only looked at where it is there.
    pub(super) fn there(&self) -> Option<&Reclaimer> {
        match self {
            Self::There(reclaimer) => Some(reclaimer),
            Self::Gone(_) => None,
        }
    }
}
