//! Child processes. Each child leads its own process group, so that Ctrl-C reaches only the runner; each wait has a
//! deadline; and no child outlives the value that represents it.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output, Stdio};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use shlex::Quoter;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::SignalKind;

use crate::deadline::Deadline;

/// How a process ended, such as `exited with code 1`.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => {
            let name = nix::sys::signal::Signal::try_from(signal);
            let name = name.map(|name| format!(" ({})", name.as_str()));
            format!("was killed by signal {signal}{}", name.unwrap_or_default())
        }
        (None, None) => format!("ended with {status}"),
    }
}

/// A child process failed to start, or waiting for it failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program couldn't be started.
    #[error("failed to start `{program}`")]
    Start {
        /// Its program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// Waiting for the process or reading its output failed.
    #[error("failed to wait for `{program}` or to read its output")]
    Follow {
        /// Its program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// The process didn't end in time and was killed.
    #[error("`{program}` did not finish within {}", humantime::format_duration(*.budget))]
    TimedOut {
        /// Its program.
        program: String,
        /// How long the process was allowed to run.
        budget: std::time::Duration,
    },
    /// The run was aborted, so no further process is started.
    #[error("`{program}` was not started, because the run was aborted")]
    Aborted {
        /// Its program.
        program: String,
    },
}

/// `text` quoted as one word for a shell.
pub(crate) fn quoted(text: &str) -> String {
    let quoter = Quoter::new().allow_nul(true);
    let quoted = quoter.quote(text).expect("only a NUL could be refused");
    quoted.into_owned()
}

/// The process groups whose leaders haven't been reaped, and whose ids therefore can't have been reused.
struct Live {
    leaders: BTreeSet<i32>,
    aborted: bool,
}

static LIVE: Mutex<Live> = Mutex::new(Live {
    leaders: BTreeSet::new(),
    aborted: false,
});

/// Kills all process groups that this process has started. From now on, starting another one is an error.
pub fn kill_all() {
    let mut live = LIVE.lock();
    live.aborted = true;
    for leader in live.leaders.iter().copied().filter_map(Pid::from_raw) {
        send(leader, Signal::KILL);
    }
}

/// Sends `signal` to the group of `leader`. It isn't an error if the group is gone already.
fn send(leader: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(leader, signal) {
        tracing::debug!(?leader, %error, ?signal, "the process group is gone");
    }
}

/// A running child and all processes that it starts, unless they leave its group.
#[derive(Debug)]
pub struct Group {
    program: String,
    child: Child,
}

impl Group {
    /// Starts `command` in its own process group, without standard input unless `command` sets it.
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

    /// Adds the group to `LIVE`. If the run was aborted in the meantime, drops the group, which kills it, and returns
    /// an error.
    fn register(self) -> Result<Self, ProcessError> {
        let mut live = LIVE.lock();
        if live.aborted {
            drop(live);
            let program = self.program.clone();
            return Err(ProcessError::Aborted { program });
        }
        live.leaders
            .extend(self.leader().map(Pid::as_raw_nonzero).map(i32::from));
        drop(live);
        Ok(self)
    }

    /// The leader; `None` after it was reaped, because its id may have been reused.
    fn leader(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id()?.cast_signed())
    }

    /// The leader's process id; `None` after it was reaped.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The child, for access to its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the leader ends, and then kills the rest of its group. If the future is dropped, the method can be
    /// called again.
    pub async fn wait(&mut self) -> Result<ExitStatus, ProcessError> {
        if let Some(leader) = self.leader() {
            ended(leader).await.map_err(|source| self.follow(source))?;
        }
        self.release();
        let status = self.child.wait().await;
        status.map_err(|source| self.follow(source))
    }

    /// Sends SIGTERM to the group, and kills the group if its leader is still running after `grace`.
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

    /// Sends `signal` to the group unless its leader was reaped.
    pub fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader() {
            send(leader, signal);
        }
    }

    /// Kills the rest of the group while its id is still valid, and removes the group from `LIVE`.
    fn release(&self) {
        if let Some(leader) = self.leader() {
            send(leader, Signal::KILL);
            LIVE.lock().leaders.remove(&leader.as_raw_nonzero().into());
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
        self.release();
    }
}

/// Waits until `leader` has ended, without reaping it: until it is reaped, its id can't be reused.
async fn ended(leader: Pid) -> io::Result<()> {
    // Registered before the check, so that an exit in between isn't missed.
    let mut children = tokio::signal::unix::signal(SignalKind::child())?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(leader), options)?.is_none() {
        children.recv().await;
    }
    Ok(())
}

/// Runs `command` to completion and returns its output. The process is killed when `deadline` passes or the future is
/// dropped.
pub async fn output(command: &mut Command, deadline: &Deadline) -> Result<Output, ProcessError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut group = Group::spawn(command)?;
    let stdout = group.child.stdout.take();
    let stderr = group.child.stderr.take();
    let all = async {
        let (status, stdout, stderr) = tokio::join!(group.wait(), read(stdout), read(stderr));
        Ok(Output {
            status: status?,
            stdout: stdout.map_err(|error| group.follow(error))?,
            stderr: stderr.map_err(|error| group.follow(error))?,
        })
    };
    match deadline.run(all).await {
        Ok(output) => output,
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

    #[test]
    fn signals_are_described_by_number_and_name() {
        for (status, expected) in [
            (3 << 8, "exited with code 3"),
            (15, "was killed by signal 15 (SIGTERM)"),
            (40, "was killed by signal 40"),
        ] {
            assert_eq!(describe(ExitStatus::from_raw(status)), expected);
        }
    }

    #[tokio::test]
    async fn the_output_is_returned() {
        let deadline = RunClock::new().deadline(Duration::from_secs(30));
        let output = output(&mut shell("echo out; echo err >&2; exit 3"), &deadline)
            .await
            .unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(3));
    }

    #[tokio::test]
    async fn a_deadline_kills_the_whole_group() {
        let deadline = RunClock::new().deadline(Duration::from_millis(200));
        // The grandchild holds the pipe open, so the reader ends only if the whole group is killed.
        let error = output(&mut shell("sleep 600 & wait"), &deadline)
            .await
            .unwrap_err();
        assert!(matches!(error, ProcessError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn the_rest_of_a_group_is_killed_when_its_leader_ends() {
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
        // The pipe is closed when the last process that holds it ends.
        let deadline = RunClock::new().deadline(Duration::from_secs(30));
        let rest = deadline.run(output.read_to_end(&mut Vec::new())).await;
        rest.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_process_that_ignores_sigterm_is_killed() {
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
