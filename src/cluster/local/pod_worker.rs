//! Runs one pod: starts its process, probes it, restarts it when it ends, and terminates it when the pod is deleted.

use std::pin::pin;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use tokio::sync::{AcquireError, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::controller::Controller;
use super::health::EARLY_EXITS;
use super::pod_config::PodConfig;
use super::prober::Prober;
use super::status::{Role, State, Termination};
use super::{launcher, logs, volumes};
use crate::error::chain;
use crate::machine::process::{Group, describe};

/// A mock is never restarted: it has lost its counters when it ends, so a restart wouldn't help.
const MOCK_RESTARTS: u32 = 0;
/// The delay before the first restart. It doubles with each further restart.
const INITIAL_BACK_OFF: Duration = Duration::from_millis(250);
const MAX_BACK_OFF: Duration = Duration::from_secs(10);
/// How long a process that doesn't listen yet can keep other processes from starting.
const START_LIMIT: Duration = Duration::from_secs(1);

/// How an attempt to run the process ended.
pub(super) enum End {
    /// The process exited, as described in the text.
    Crashed(String),
    /// The process has to be killed because of a failed probe, as described in the text.
    Killed(String),
    /// This machine can't start or probe it, and a retry wouldn't help. The text has the reason.
    Unrunnable(String),
    /// The pod was deleted.
    Deleted,
}

/// Runs a pod until `deleted` is cancelled.
pub(super) async fn run(controller: &Controller, pod: &PodConfig, deleted: CancellationToken) {
    let plan = &controller.plan;
    let restarts = match pod.role {
        Role::Agent => EARLY_EXITS.saturating_add(plan.cell.variant.expect.restarts()),
        Role::Mock => MOCK_RESTARTS,
    };
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(INITIAL_BACK_OFF)
        .with_max_delay(MAX_BACK_OFF)
        .with_max_times(restarts as usize)
        .build();
    loop {
        let end = run_once(controller, pod, &deleted).await;
        let by_probe = matches!(end, End::Killed(_));
        let (state, reason, pause) = match end {
            End::Deleted => break,
            End::Unrunnable(reason) => (State::RunError, reason, None),
            End::Crashed(reason) | End::Killed(reason) => match pauses.next() {
                Some(pause) => (State::BackOff, reason, Some(pause)),
                None => (State::CrashLoop, reason, None),
            },
        };
        controller.statuses.update(&pod.name, |status| {
            status.stop(state);
            if state != State::RunError {
                status.restarts += 1;
            }
            status.liveness = pod.probes.initial_liveness();
            status.warn("BackOff", reason.clone());
            status.last_termination = Some(Termination {
                at: Timestamp::now(),
                reason,
                by_probe,
            });
        });
        let Some(pause) = pause else {
            deleted.cancelled().await;
            break;
        };
        let pause = plan.clock.deadline(pause);
        let pause = deleted.run_until_cancelled(pause.passed());
        if pause.await.is_none() {
            break;
        }
    }
    controller.statuses.update(&pod.name, |status| {
        status.stop(State::Terminated);
        status.record("Killing", "the pod was deleted, and its process has ended");
    });
}

/// Starts the process, and supervises it until it ends.
async fn run_once(controller: &Controller, pod: &PodConfig, deleted: &CancellationToken) -> End {
    let Some(permit) = deleted
        .run_until_cancelled(controller.launcher.starts.acquire())
        .await
    else {
        return End::Deleted;
    };
    let mut group = match start(controller, pod) {
        Ok(group) => group,
        Err(reason) => return End::Unrunnable(reason),
    };
    let entering = launcher::enter(group.child(), &pod.sandbox);
    let end = match deleted.run_until_cancelled(entering).await {
        None => End::Deleted,
        Some(Err(reason)) => End::Unrunnable(reason),
        Some(Ok(())) => supervise(controller, pod, deleted, &mut group, permit).await,
    };
    let grace = controller.plan.clock.deadline(pod.grace);
    if let Err(error) = group.terminate(&grace).await {
        tracing::debug!(pod = pod.name, %error, "failed to wait for the end of a process");
    }
    end
}

/// Probes a running process until it ends or has to be terminated.
async fn supervise(
    controller: &Controller,
    pod: &PodConfig,
    deleted: &CancellationToken,
    group: &mut Group,
    permit: Result<SemaphorePermit<'_>, AcquireError>,
) -> End {
    let prober = Prober::new(&controller.statuses, pod);
    let probing = async {
        let mut listening = pin!(prober.until_listening());
        let limit = controller.plan.clock.deadline(START_LIMIT);
        let in_time = limit.run(&mut listening).await;
        drop(permit);
        if in_time.is_err() {
            listening.await;
        }
        prober.run().await
    };
    tokio::select! {
        biased;
        status = group.wait() => End::Crashed(match status {
            Ok(status) => format!("its process {}", describe(status)),
            Err(error) => chain(&error),
        }),
        () = deleted.cancelled() => End::Deleted,
        Err(end) = probing => end,
    }
}

/// Creates the pod's folders and starts its process.
fn start(controller: &Controller, pod: &PodConfig) -> Result<Group, String> {
    let not_created = |error| format!("failed to create its folders: {}", chain(&error));
    volumes::write(&pod.volumes).map_err(not_created)?;
    let log = logs::open(&pod.log).map_err(not_created)?;
    let offset = log.metadata().map_or(0, |metadata| metadata.len());
    let command = controller.launcher.command(pod, log, &controller.plan.mark);
    let group = Group::spawn(&mut command.map_err(not_created)?).map_err(|error| chain(&error))?;
    let pid = group.id();
    controller.statuses.update(&pod.name, |status| {
        status.state = State::Running;
        status.log_offsets.push(offset);
        status.pid = pid;
        status.record("Started", format!("process {}", pid.unwrap_or_default()));
    });
    Ok(group)
}
