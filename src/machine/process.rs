//! Child processes. Each has a process group of its own, so that Ctrl-C reaches only the runner; each is waited for with a
//! deadline; and none outlives the value that stands for it.

use std::collections::BTreeSet;
use std::io;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::SignalKind;

use crate::deadline::Deadline;

/// What went wrong with a child process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("failed to start `{program}`")]
    Start {
        /// Its program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Waiting for it, or reading from it, failed.
    #[error("failed to follow `{program}`")]
    Follow {
        /// Its program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It was not done in time, and killed.
    #[error("`{program}` was not done after {}", humantime::format_duration(*.budget))]
    TimedOut {
        /// Its program.
        program: String,
        /// How long was waited.
        budget: std::time::Duration,
    },
    /// The run was given up: nothing is started any more.
    #[error("`{program}` is not started: the run was given up")]
    GivenUp {
        /// Its program.
        program: String,
    },
}

/// The groups whose leaders were not waited for yet, so that their ids are theirs.
struct Live {
    leaders: BTreeSet<i32>,
    given_up: bool,
}

static LIVE: Mutex<Live> = Mutex::new(Live {
    leaders: BTreeSet::new(),
    given_up: false,
});

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every group of this process, for good: whoever starts another one gets an error.
pub fn give_up() {
    let mut live = live();
    live.given_up = true;
    for leader in live.leaders.iter().copied().filter_map(Pid::from_raw) {
        send(leader, Signal::KILL);
    }
}

/// Sends `signal` to the group of `leader`. A group that is gone already is no error.
fn send(leader: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(leader, signal) {
        tracing::debug!(?leader, %error, ?signal, "the process group is gone");
    }
}

/// A running child and everything that it starts, unless that leaves the group.
#[derive(Debug)]
pub struct Group {
    program: String,
    child: Child,
}

impl Group {
    /// Starts `command` in a process group of its own, without standard input unless that was set.
    pub fn spawn(command: &mut Command) -> Result<Self, ProcessError> {
        let program = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        match command.process_group(0).spawn() {
            Ok(child) => Self { program, child }.register(),
            Err(source) => Err(ProcessError::Start { program, source }),
        }
    }

    /// Whoever is started while the run is given up is killed here, by being dropped.
    fn register(self) -> Result<Self, ProcessError> {
        let mut live = live();
        if live.given_up {
            drop(live);
            let program = self.program.clone();
            return Err(ProcessError::GivenUp { program });
        }
        live.leaders
            .extend(self.leader().map(Pid::as_raw_nonzero).map(i32::from));
        drop(live);
        Ok(self)
    }

    /// The leader; none once it was waited for, for then its id may be anybody's.
    fn leader(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id()?.cast_signed())
    }

    /// The leader's process id; none once it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for the leader to end; what is left of its group ends with it. May be dropped and called again.
    pub async fn wait(&mut self) -> Result<ExitStatus, ProcessError> {
        if let Some(leader) = self.leader() {
            ended(leader).await.map_err(|source| self.follow(source))?;
        }
        self.let_go();
        let status = self.child.wait().await;
        status.map_err(|source| self.follow(source))
    }

    /// Asks the group to end, and kills what is left of it when `grace` has passed.
    pub async fn terminate(&mut self, grace: &Deadline) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::TERM);
        match grace.run(self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// Kills the group and reaps its leader.
    pub async fn kill(&mut self) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::KILL);
        self.wait().await
    }

    /// Sends `signal` to the group, as long as its leader was not waited for.
    pub fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader() {
            send(leader, signal);
        }
    }

    /// Kills what is left of the group while its id is still its own, and forgets it.
    fn let_go(&self) {
        if let Some(leader) = self.leader() {
            send(leader, Signal::KILL);
            live().leaders.remove(&leader.as_raw_nonzero().into());
        }
    }

    fn follow(&self, source: io::Error) -> ProcessError {
        ProcessError::Follow {
            program: self.program.clone(),
            source,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Waits until `leader` has ended, and does not reap it: until somebody does, its id is nobody else's.
async fn ended(leader: Pid) -> io::Result<()> {
    // Before the look, so that no end in between is missed.
    let mut children = tokio::signal::unix::signal(SignalKind::child())?;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(leader), look)?.is_none() {
        children.recv().await;
    }
    Ok(())
}

/// Runs `command` to its end and returns what it printed. It is killed when `deadline` passes or the future is dropped.
pub async fn output(command: &mut Command, deadline: &Deadline) -> Result<Output, ProcessError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut group = Group::spawn(command)?;
    let stdout = group.child.stdout.take();
    let stderr = group.child.stderr.take();
    let all = async { tokio::join!(group.wait(), read(stdout), read(stderr)) };
    let finished = deadline.run(all).await;
    match finished {
        Ok((Ok(status), Ok(stdout), Ok(stderr))) => Ok(Output {
            status,
            stdout,
            stderr,
        }),
        Ok((Err(error), _, _)) => Err(error),
        Ok((_, Err(error), _) | (_, _, Err(error))) => Err(group.follow(error)),
        Err(timed_out) => {
            group.kill().await?;
            Err(ProcessError::TimedOut {
                program: group.program.clone(),
                budget: timed_out.budget,
            })
        }
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::deadline::RunClock;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn output_is_what_it_printed() {
        let deadline = RunClock::new().deadline(Duration::from_secs(30));
        let output = output(&mut shell("echo out; echo err >&2; exit 3"), &deadline)
            .await
            .unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(3));
    }

    #[tokio::test]
    async fn a_deadline_takes_the_whole_group() {
        let deadline = RunClock::new().deadline(Duration::from_millis(200));
        // The grandchild holds the pipe: only killing the whole group lets the reader end.
        let error = output(&mut shell("sleep 600 & wait"), &deadline)
            .await
            .unwrap_err();
        assert!(matches!(error, ProcessError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_a_leader_leaves_ends_with_it() {
        let mut group = Group::spawn(
            shell("(trap '' TERM; echo $$; exec sleep 600) & read -r _ < /dev/zero; exit 7")
                .stdout(Stdio::piped()),
        )
        .unwrap();
        let mut output = group.child().stdout.take().unwrap();
        let mut first = [0];
        output.read_exact(&mut first).await.unwrap();
        group.signal(Signal::TERM);
        group.wait().await.unwrap();
        assert_eq!(group.id(), None);
        // It ends when the last process that holds it has.
        let deadline = RunClock::new().deadline(Duration::from_secs(30));
        let rest = deadline.run(output.read_to_end(&mut Vec::new())).await;
        rest.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_ignores_the_request_is_killed() {
        let mut group = Group::spawn(
            shell("trap '' TERM; echo ready; while :; do sleep 1; done").stdout(Stdio::piped()),
        )
        .unwrap();
        let mut ready = [0; 6];
        group
            .child()
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .await
            .unwrap();
        let grace = RunClock::new().deadline(Duration::from_millis(100));
        let status = group.terminate(&grace).await.unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let deadline = RunClock::new().deadline(Duration::from_secs(1));
        let error = output(&mut Command::new("no-such-program"), &deadline)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "failed to start `no-such-program`");
    }
}
