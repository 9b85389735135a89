//! The engine's pulse. An engine that has stopped answering ends the cell, and is blamed by name: the phases would only see that
//! nothing happens, each until its own deadline.

use std::time::Duration;

use bollard::Docker;

use super::work::Work;
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Failure, Symptom};

/// How often it is felt.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer may take. A busy machine's engine is slow; a stopped one answers never.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Feels the engine's pulse until it has none.
pub(super) async fn watch(work: &Work) {
    // Whoever needs the engine for something tells why it is not there.
    let Ok(docker) = work.shared.docker().await else {
        return;
    };
    let clock = &work.plan.clock;
    let failure = loop {
        match feel(docker, &clock.deadline(PATIENCE)).await {
            Ok(()) => clock.deadline(INTERVAL).passed().await,
            Err(failure) => break failure,
        }
    };
    work.lost.set(Err(failure));
}

/// Whether the engine answers at all by `deadline`.
pub(super) async fn feel(docker: &Docker, deadline: &Deadline) -> Result<(), Failure> {
    let why = match deadline.run(docker.ping()).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => chain(&error),
        Err(timed_out) => format!("a ping {timed_out}"),
    };
    let message = format!("the container engine does not answer any more: {why}");
    Err(Failure::new(Symptom::EngineGone, message)
        .with_remedy("look whether the engine runs (`docker info`), and at its log"))
}
