//! The life of one pod's process: it is started, probed, restarted when it ends, and terminated when the pod is deleted.

use std::process::ExitStatus;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use tokio::sync::{Notify, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::blueprint::Blueprint;
use super::board::{PodEnd, Role, State};
use super::kubelet::Kubelet;
use super::probe::{Finding, Stop, Watch};
use super::{isolation, logs, volumes};
use crate::error::chain;
use crate::machine::process::Group;

/// After this many ends of its process, an agent is not restarted any more.
const AGENT_CRASHES: u32 = 3;
/// A mock that has ended has lost its counters, so restarting it would not help.
const MOCK_CRASHES: u32 = 1;
/// The delay before the first restart; it doubles with each further restart.
const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);
/// After this time, other processes may start even if this one doesn't listen yet.
const START_SHARE: Duration = Duration::from_secs(1);

/// How an attempt to run the process ended.
enum End {
    /// It exited, or a probe ended it; the text says which.
    Crashed(String),
    /// This machine can't start or probe it, and a retry would not help; the text has the reason.
    Lost(String),
    /// The pod was deleted.
    Deleted,
}

/// Runs a pod until `deleted` is cancelled or its process has ended too often.
pub(super) async fn run(kubelet: &Kubelet, pod: &Blueprint, deleted: CancellationToken) {
    let allowed = match pod.role {
        Role::Agent => AGENT_CRASHES.saturating_add(kubelet.allowed_restarts),
        Role::Mock => MOCK_CRASHES,
    };
    for attempt in 1..=allowed {
        let state = match once(kubelet, pod, &deleted).await {
            End::Deleted => break,
            End::Lost(reason) => ended(kubelet, pod, State::Lost, reason),
            End::Crashed(reason) if attempt == allowed => {
                ended(kubelet, pod, State::CrashLoop, reason)
            }
            End::Crashed(reason) => ended(kubelet, pod, State::BackOff, reason),
        };
        if state != State::BackOff {
            deleted.cancelled().await;
            break;
        }
        let pause = kubelet.clock.deadline(back_off(attempt));
        let pause = deleted.run_until_cancelled(pause.passed());
        if pause.await.is_none() {
            break;
        }
    }
    kubelet.board.update(&pod.name, |status| {
        status.state = State::Gone;
        status.ready = false;
        status.process = None;
        status.note("Killing", "the pod was deleted, and its process has ended");
    });
}

/// The delay after the end number `attempt`.
fn back_off(attempt: u32) -> Duration {
    let doubled = FIRST_BACK_OFF.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
    doubled.min(LONGEST_BACK_OFF)
}

fn ended(kubelet: &Kubelet, pod: &Blueprint, state: State, reason: String) -> State {
    kubelet.board.update(&pod.name, |status| {
        status.state = state;
        status.ready = false;
        status.process = None;
        if state != State::Lost {
            status.restarts += 1;
        }
        status.unprobed = pod.probes.has_liveness();
        status.sick = None;
        status.last_end = Some(PodEnd {
            at: Timestamp::now(),
            how: reason.clone(),
        });
        status.warn("BackOff", reason);
    });
    state
}

/// Starts the process, and monitors it until it ends.
async fn once(kubelet: &Kubelet, pod: &Blueprint, deleted: &CancellationToken) -> End {
    let Some(share) = deleted.run_until_cancelled(kubelet.starts.acquire()).await else {
        return End::Deleted;
    };
    let mut group = match start(kubelet, pod) {
        Ok(group) => group,
        Err(reason) => return End::Lost(reason),
    };
    let entering = isolation::enter(group.child(), &pod.sandbox);
    let end = match deleted.run_until_cancelled(entering).await {
        None => End::Deleted,
        Some(Err(reason)) => End::Lost(reason),
        Some(Ok(())) => watched(kubelet, pod, deleted, &mut group, share).await,
    };
    let grace = kubelet.clock.deadline(pod.grace);
    if let Err(error) = group.terminate(&grace).await {
        tracing::debug!(pod = pod.name, %error, "failed to follow a process to its end");
    }
    end
}

/// Monitors a running process until it ends or has to be terminated.
async fn watched<T>(
    kubelet: &Kubelet,
    pod: &Blueprint,
    deleted: &CancellationToken,
    group: &mut Group,
    share: Result<SemaphorePermit<'_>, T>,
) -> End {
    let listens = Notify::new();
    let watch = Watch {
        probes: &pod.probes,
        listens: &listens,
        started: Instant::now(),
    };
    let say = |finding| said(kubelet, pod, finding);
    let starting = async {
        let listening = listens.notified();
        // The process listens, has ended or is late. In each case, others may start.
        let deadline = kubelet.clock.deadline(START_SHARE);
        deadline.run(listening).await.unwrap_or_default();
        drop(share);
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        biased;
        status = group.wait() => End::Crashed(match status {
            Ok(status) => in_words(status),
            Err(error) => chain(&error),
        }),
        () = deleted.cancelled() => End::Deleted,
        stop = watch.run(&say) => match stop {
            Stop::Kill(reason) => End::Crashed(reason),
            Stop::Blind(reason) => End::Lost(reason),
        },
        never = starting => match never {},
    }
}

/// Creates the pod's folders and starts its process.
fn start(kubelet: &Kubelet, pod: &Blueprint) -> Result<Group, String> {
    let unmade = |error| format!("failed to create its folders: {}", chain(&error));
    volumes::write(&pod.folders).map_err(unmade)?;
    let log = logs::open(&pod.log).map_err(unmade)?;
    let length = log.metadata().map_or(0, |metadata| metadata.len());
    let command = kubelet.isolation.command(pod, log, &kubelet.mark);
    let group = Group::spawn(&mut command.map_err(unmade)?).map_err(|error| chain(&error))?;
    kubelet.board.update(&pod.name, |status| {
        status.state = State::Running;
        status.starts.push(length);
        status.process = group.id();
        status.note(
            "Started",
            format!("process {}", group.id().unwrap_or_default()),
        );
    });
    Ok(group)
}

fn said(kubelet: &Kubelet, pod: &Blueprint, finding: Finding) {
    kubelet.board.update(&pod.name, |status| match finding {
        Finding::Ready => {
            status.ready = true;
            status.trouble = None;
            status.note("Ready", "may get traffic");
        }
        Finding::NotReady(reason) => {
            status.ready = false;
            status.warn("Unhealthy", reason);
        }
        Finding::Alive => {
            status.unprobed = false;
            status.sick = None;
        }
        Finding::Sick(reason) => {
            status.unprobed = false;
            let times = status.sick.as_ref().map_or(0, |(times, _)| *times);
            // Repeating the same reason every second would displace all other events.
            if status.trouble.as_ref() != Some(&reason) {
                status.warn("Unhealthy", reason.clone());
            }
            status.sick = Some((times.saturating_add(1), reason));
        }
        // Repeating the same reason every second would displace all other events.
        Finding::Missed(reason) if status.trouble.as_ref() == Some(&reason) => {}
        Finding::Missed(reason) => status.warn("Unhealthy", reason),
    });
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("its process ended with exit code {code}"),
        (None, Some(signal)) => {
            let name = Signal::from_named_raw(signal).map(|signal| format!(" ({signal:?})"));
            format!(
                "its process was ended by signal {signal}{}",
                name.unwrap_or_default()
            )
        }
        (None, None) => "its process ended".to_owned(),
    }
}
