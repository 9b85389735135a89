//! Monitors the engine. If the engine stops responding, the cell ends with a failure that says so. Without these
//! checks, each phase would wait until its deadline, and couldn't say why nothing happened.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;

use super::limits;
use super::work::Work;
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Failure, Symptom};

/// How long to wait between two checks of the engine.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a response may take. The engine of a busy machine is slow; a stopped one never responds.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What to do if the engine fails.
pub(super) const REMEDY: &str =
    "check whether the engine is running (`docker info`), and read its log";

/// The failure if the engine returned an error.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = format!("the container engine failed: {}", chain(&error));
        limits::diagnose(Self::new(Symptom::EngineGone, message).with_remedy(REMEDY))
    }
}

/// Checks the engine until it doesn't respond.
pub(super) async fn watch(work: Arc<Work>) {
    // The tasks that need the engine report why it can't be used.
    let Ok(docker) = work.shared.docker().await else {
        return;
    };
    let clock = &work.plan.clock;
    let failure = loop {
        match ping(docker, &clock.deadline(PATIENCE)).await {
            Ok(()) => clock.deadline(INTERVAL).passed().await,
            Err(failure) => break failure,
        }
    };
    work.lost.set(Err(failure));
}

/// Checks that the engine responds by `deadline`.
pub(super) async fn ping(docker: &Docker, deadline: &Deadline) -> Result<(), Failure> {
    let why = match deadline.run(docker.ping()).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => chain(&error),
        Err(timed_out) => format!("a ping {timed_out}"),
    };
    let message = format!("the container engine no longer responds: {why}");
    Err(Failure::new(Symptom::EngineGone, message).with_remedy(REMEDY))
}
