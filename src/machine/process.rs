//! Child processes. Each has a process group of its own, so that Ctrl-C reaches only the runner; each is waited for with a
//! deadline; and none outlives the value that stands for it.

use std::io;
use std::process::{ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::deadline::Deadline;

/// The environment variable by which the processes of a dead run can be found: `<run>/<cell>`.
pub const MARK: &str = "E2E_MATRIX_PROCESS";

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
}

/// A running child and everything that it starts, unless that leaves the group.
#[derive(Debug)]
pub struct Group {
    program: String,
    child: Child,
    leader: Option<Pid>,
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
            Ok(child) => Ok(Self {
                leader: child.id().and_then(|id| Pid::from_raw(id.cast_signed())),
                program,
                child,
            }),
            Err(source) => Err(ProcessError::Start { program, source }),
        }
    }

    /// The leader's process id; none once it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for the leader to end. May be dropped and called again.
    pub async fn wait(&mut self) -> Result<ExitStatus, ProcessError> {
        let status = self.child.wait().await;
        status.map_err(|source| self.follow(source))
    }

    /// Asks the group to end, and kills what is left of it when `grace` has passed.
    pub async fn terminate(&mut self, grace: &Deadline) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::TERM);
        if let Ok(status) = grace.run(self.wait()).await {
            self.signal(Signal::KILL);
            return status;
        }
        self.kill().await
    }

    /// Kills the group and reaps its leader.
    pub async fn kill(&mut self) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::KILL);
        self.wait().await
    }

    /// Sends `signal` to the group. A group that is gone already is no error.
    pub fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader
            && let Err(error) = kill_process_group(leader, signal)
        {
            tracing::debug!(program = self.program, %error, ?signal, "the process group is gone");
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
        // A leader that was reaped has left its id to others.
        if self.child.id().is_some() {
            self.signal(Signal::KILL);
        }
    }
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
    let all = async { tokio::join!(group.child.wait(), read(stdout), read(stderr)) };
    let finished = deadline.run(all).await;
    match finished {
        Ok((Ok(status), Ok(stdout), Ok(stderr))) => Ok(Output {
            status,
            stdout,
            stderr,
        }),
        Ok((Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error))) => {
            Err(group.follow(error))
        }
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
