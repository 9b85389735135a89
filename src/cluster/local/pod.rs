//! The life of one pod's process: started, probed, started again when it ends, and ended when the pod is deleted.

use std::process::ExitStatus;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::announce::{Listener, Listeners};
use super::blueprint::Blueprint;
use super::board::{PodEnd, Role, State};
use super::kubelet::Kubelet;
use super::probe::{Finding, Stop, Watch};
use super::{logs, volumes};
use crate::error::chain;
use crate::machine::private_folder;
use crate::machine::process::Group;

/// After so many ends of its process an agent is given up.
const AGENT_CRASHES: u32 = 3;
/// A mock that ended has lost its counters: another one would not help.
const MOCK_CRASHES: u32 = 1;
/// The first pause before a process is started again; each further one is twice as long.
const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);
/// A process that has not said by then where it listens does not keep others from starting.
const START_SHARE: Duration = Duration::from_secs(1);
/// What an ended process has printed is read for so long: a process of its own could hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How an attempt to run the process ended.
enum End {
    /// By itself, or a probe had it ended: in words.
    Crashed(String),
    /// This machine could not start or probe it, which another attempt would not change: in words.
    Lost(String),
    /// The pod was deleted.
    Deleted,
}

/// Runs a pod until `deleted` is cancelled or its process ended too often.
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

/// The pause after the end number `attempt`.
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
        status.listeners.clear();
        status.warn("BackOff", reason);
    });
    state
}

/// Starts the process and stays with it to its end.
async fn once(kubelet: &Kubelet, pod: &Blueprint, deleted: &CancellationToken) -> End {
    let Some(share) = deleted.run_until_cancelled(kubelet.starts.acquire()).await else {
        return End::Deleted;
    };
    let process = match start(kubelet, pod) {
        Ok(process) => process,
        Err(reason) => return End::Lost(reason),
    };
    let Process {
        mut group,
        output,
        listeners,
    } = process;
    let watch = Watch {
        probes: &pod.probes,
        listeners: listeners.clone(),
        started: Instant::now(),
    };
    let say = |finding| said(kubelet, pod, finding);
    let starting = async {
        let mut listeners = listeners.clone();
        let announced = listeners.wait_for(|listeners| !listeners.is_empty());
        // Announced, ended or late: in each case others may start.
        drop(kubelet.clock.deadline(START_SHARE).run(announced).await);
        drop(share);
        std::future::pending::<std::convert::Infallible>().await
    };
    let end = tokio::select! {
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
    };
    let grace = kubelet.clock.deadline(pod.grace);
    if let Err(error) = group.terminate(&grace).await {
        tracing::debug!(pod = pod.name, %error, "failed to follow a process to its end");
    }
    finish_output(kubelet, output).await;
    end
}

/// A process, and what it says.
struct Process {
    group: Group,
    output: JoinHandle<()>,
    listeners: watch::Receiver<Listeners>,
}

/// Makes the pod's folders and starts its process.
fn start(kubelet: &Kubelet, pod: &Blueprint) -> Result<Process, String> {
    let log =
        prepare(pod).map_err(|error| format!("failed to create its folders: {}", chain(&error)))?;
    let length = log.metadata().map_or(0, |metadata| metadata.len());
    let mut command = pod.launch.command(log, &kubelet.mark);
    let mut group = Group::spawn(&mut command).map_err(|error| chain(&error))?;
    let (announce, listeners) = watch::channel(Listeners::new());
    let stdout = group.child().stdout.take();
    let output = tokio::spawn(follow(
        kubelet.clone(),
        pod.name.clone(),
        pod.log.clone(),
        stdout,
        announce,
    ));
    kubelet.board.update(&pod.name, |status| {
        status.state = State::Running;
        status.starts.push(length);
        status.process = group.id();
        status.note(
            "Started",
            format!("process {}", group.id().unwrap_or_default()),
        );
    });
    Ok(Process {
        group,
        output,
        listeners,
    })
}

fn prepare(pod: &Blueprint) -> std::io::Result<std::fs::File> {
    private_folder(pod.launch.folder())?;
    volumes::write(&pod.folders, &pod.mapping)?;
    logs::open(&pod.log)
}

/// Appends what the process prints to its log, and notes where it says that it listens.
async fn follow(
    kubelet: Kubelet,
    pod: String,
    log: std::path::PathBuf,
    stdout: Option<ChildStdout>,
    announce: watch::Sender<Listeners>,
) {
    let (Some(stdout), Ok(log)) = (stdout, logs::open(&log)) else {
        return;
    };
    let mut log = tokio::fs::File::from_std(log);
    let mut lines = BufReader::new(stdout);
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|read| read > 0)
    {
        if let Some((listener, address)) = Listener::announced(&String::from_utf8_lossy(&line)) {
            kubelet.board.update(&pod, |status| {
                status.listeners.insert(listener, address);
            });
            announce.send_modify(|listeners| {
                listeners.insert(listener, address);
            });
        }
        if let Err(error) = log.write_all(&line).await {
            tracing::debug!(pod, %error, "failed to write a log");
        }
        line.clear();
    }
    if let Err(error) = log.flush().await {
        tracing::debug!(pod, %error, "failed to write a log");
    }
}

async fn finish_output(kubelet: &Kubelet, mut output: JoinHandle<()>) {
    let read = kubelet.clock.deadline(LAST_WORDS).run(&mut output).await;
    if read.is_err() {
        output.abort();
    }
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
            // The same reason every second would push everything else out.
            if status.trouble.as_ref() != Some(&reason) {
                status.warn("Unhealthy", reason.clone());
            }
            status.sick = Some((times.saturating_add(1), reason));
        }
        // The same reason every second would push everything else out.
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
