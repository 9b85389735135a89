//! The engine's pulse. An engine that has stopped answering ends the cell, and is blamed by name: the phases would only see that
//! nothing happens, each until its own deadline.

use std::time::Duration;

use super::work::Work;
use crate::event::{Failure, Symptom};

/// How often it is felt.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer may take. A busy machine's engine is slow; a stopped one answers never.
const PATIENCE: Duration = Duration::from_secs(20);

/// Feels the engine's pulse until it has none.
pub(super) async fn watch(work: &Work) {
    // Whoever needs the engine for something tells why it is not there.
    let Ok(docker) = work.shared.docker().await else {
        return;
    };
    let clock = &work.plan.clock;
    let why = loop {
        match clock.deadline(PATIENCE).run(docker.ping()).await {
            Ok(Ok(_)) => clock.deadline(INTERVAL).passed().await,
            Ok(Err(error)) => break error.to_string(),
            Err(timed_out) => break format!("a ping {timed_out}"),
        }
    };
    let message = format!("the container engine does not answer any more: {why}");
    let failure = Failure::new(Symptom::EngineGone, message)
        .with_remedy("look whether the engine runs (`docker info`), and at its log");
    work.lost.set(Err(failure));
}
