//! Runs one pod: starts its process, probes it, restarts it when it ends, and terminates it when the pod is deleted.

use std::convert::Infallible;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::sync::{AcquireError, Notify, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::kubelet::Kubelet;
use super::pod_config::PodConfig;
use super::prober::{ProbeResult, Prober, Stop};
use super::status::{Liveness, Role, State, Termination};
use super::{isolation, logs, volumes};
use crate::error::chain;
use crate::machine::process::Group;

/// After its process has ended this often, an agent is not restarted any more.
const AGENT_CRASHES: u32 = 3;
/// A mock that has ended has lost its counters, so restarting it would not help.
const MOCK_CRASHES: u32 = 1;
/// The delay before the first restart. It doubles with each further restart.
const INITIAL_BACK_OFF: Duration = Duration::from_millis(250);
const MAX_BACK_OFF: Duration = Duration::from_secs(10);
/// After this time, other processes may start even if this one doesn't listen yet.
const START_LIMIT: Duration = Duration::from_secs(1);

/// How an attempt to run the process ended.
enum End {
    /// It exited, as described in the text.
    Crashed(String),
    /// It was killed because of a failed probe, as described in the text.
    Killed(String),
    /// This machine can't start or probe it, and a retry would not help; the text has the reason.
    Unrunnable(String),
    /// The pod was deleted.
    Deleted,
}

/// Runs a pod until `deleted` is cancelled.
pub(super) async fn run(kubelet: &Kubelet, pod: &PodConfig, deleted: CancellationToken) {
    let allowed = match pod.role {
        Role::Agent => AGENT_CRASHES.saturating_add(kubelet.plan.cell.variant.expect.restarts()),
        Role::Mock => MOCK_CRASHES,
    };
    for attempt in 1..=allowed {
        let end = run_once(kubelet, pod, &deleted).await;
        let by_probe = matches!(end, End::Killed(_));
        let (state, reason) = match end {
            End::Deleted => break,
            End::Unrunnable(reason) => (State::RunError, reason),
            End::Crashed(reason) | End::Killed(reason) => {
                let is_last = attempt == allowed;
                let state = if is_last {
                    State::CrashLoop
                } else {
                    State::BackOff
                };
                (state, reason)
            }
        };
        let at = Timestamp::now();
        let termination = Termination {
            at,
            reason,
            by_probe,
        };
        record_end(kubelet, pod, state, termination);
        if state != State::BackOff {
            deleted.cancelled().await;
            break;
        }
        let pause = kubelet.plan.clock.deadline(back_off(attempt));
        let pause = deleted.run_until_cancelled(pause.passed());
        if pause.await.is_none() {
            break;
        }
    }
    kubelet.statuses.update(&pod.name, |status| {
        status.state = State::Terminated;
        status.ready = false;
        status.pid = None;
        status.record("Killing", "the pod was deleted, and its process has ended");
    });
}

/// The delay before the restart after `attempt`.
fn back_off(attempt: u32) -> Duration {
    let factor = 1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX);
    INITIAL_BACK_OFF.saturating_mul(factor).min(MAX_BACK_OFF)
}

fn record_end(kubelet: &Kubelet, pod: &PodConfig, state: State, termination: Termination) {
    kubelet.statuses.update(&pod.name, |status| {
        status.state = state;
        status.ready = false;
        status.pid = None;
        if state != State::RunError {
            status.restarts += 1;
        }
        status.liveness = pod.probes.initial_liveness();
        status.warn("BackOff", termination.reason.clone());
        status.last_termination = Some(termination);
    });
}

/// Starts the process, and supervises it until it ends.
async fn run_once(kubelet: &Kubelet, pod: &PodConfig, deleted: &CancellationToken) -> End {
    let Some(permit) = deleted.run_until_cancelled(kubelet.starts.acquire()).await else {
        return End::Deleted;
    };
    let mut group = match start(kubelet, pod) {
        Ok(group) => group,
        Err(reason) => return End::Unrunnable(reason),
    };
    let entering = isolation::enter(group.child(), &pod.sandbox);
    let end = match deleted.run_until_cancelled(entering).await {
        None => End::Deleted,
        Some(Err(reason)) => End::Unrunnable(reason),
        Some(Ok(())) => supervise(kubelet, pod, deleted, &mut group, permit).await,
    };
    let grace = kubelet.plan.clock.deadline(pod.grace);
    if let Err(error) = group.terminate(&grace).await {
        tracing::debug!(pod = pod.name, %error, "failed to wait for the end of a process");
    }
    end
}

/// Probes a running process until it ends or has to be terminated.
async fn supervise(
    kubelet: &Kubelet,
    pod: &PodConfig,
    deleted: &CancellationToken,
    group: &mut Group,
    permit: Result<SemaphorePermit<'_>, AcquireError>,
) -> End {
    let listens = Notify::new();
    let prober = Prober {
        probes: &pod.probes,
        listens: &listens,
        started: Instant::now(),
        report: |result| record_probe(kubelet, pod, result),
    };
    let release_permit = async {
        // When the process listens or takes too long to, others may start.
        let deadline = kubelet.plan.clock.deadline(START_LIMIT);
        deadline.run(listens.notified()).await.unwrap_or_default();
        drop(permit);
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        status = group.wait() => End::Crashed(match status {
            Ok(status) => describe(status),
            Err(error) => chain(&error),
        }),
        () = deleted.cancelled() => End::Deleted,
        Err(stop) = prober.run() => match stop {
            Stop::Kill(reason) => End::Killed(reason),
            Stop::Exhausted(reason) => End::Unrunnable(reason),
        },
        never = release_permit => match never {},
    }
}

/// Creates the pod's folders and starts its process.
fn start(kubelet: &Kubelet, pod: &PodConfig) -> Result<Group, String> {
    let not_created = |error| format!("failed to create its folders: {}", chain(&error));
    volumes::write(&pod.volumes).map_err(not_created)?;
    let log = logs::open(&pod.log).map_err(not_created)?;
    let offset = log.metadata().map_or(0, |metadata| metadata.len());
    let command = kubelet.isolation.command(pod, log, &kubelet.plan.mark);
    let group = Group::spawn(&mut command.map_err(not_created)?).map_err(|error| chain(&error))?;
    let pid = group.id();
    kubelet.statuses.update(&pod.name, |status| {
        status.state = State::Running;
        status.log_offsets.push(offset);
        status.pid = pid;
        status.record("Started", format!("process {}", pid.unwrap_or_default()));
    });
    Ok(group)
}

fn record_probe(kubelet: &Kubelet, pod: &PodConfig, result: ProbeResult) {
    kubelet.statuses.update(&pod.name, |status| match result {
        ProbeResult::Ready => {
            status.ready = true;
            status.warning = None;
            status.record("Ready", "can receive traffic");
        }
        ProbeResult::NotReady(reason) => {
            status.ready = false;
            status.warn("Unhealthy", reason);
        }
        ProbeResult::LivenessSucceeded => status.liveness = Liveness::Success,
        ProbeResult::LivenessFailed(reason) => {
            let count = match status.liveness {
                Liveness::Failure { count, .. } => count.saturating_add(1),
                Liveness::Unknown | Liveness::Success => 1,
            };
            status.warn_once("Unhealthy", reason.clone());
            status.liveness = Liveness::Failure { count, reason };
        }
        ProbeResult::Failed(reason) => status.warn_once("Unhealthy", reason),
    });
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("its process ended with exit code {code}"),
        (None, Some(signal)) => {
            let name = Signal::from_named_raw(signal).map(|signal| format!(" ({signal:?})"));
            let name = name.unwrap_or_default();
            format!("its process was ended by signal {signal}{name}")
        }
        (None, None) => "its process ended".to_owned(),
    }
}
