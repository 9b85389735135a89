//! Runs a user's program on this machine, with facts about a cell in the program's environment. Then kills all
//! remaining processes that the program started. The caller decides what the result means.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::process::Command;

use super::{CellPlan, NodeName};
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::marked::{MARK, Marked};
use crate::machine::process::{Group, ProcessError, describe};
use crate::machine::{HostResource, absolute};
use crate::matrix::HostCommand;

/// How many bytes at the end of the output are kept.
const OUTPUT_LIMIT: usize = 1 << 20;
/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// The timeout for killing processes that have left the program's group, and for reading the rest of the output.
const CLEANUP_LIMIT: Duration = Duration::from_secs(5);

/// How a program ended.
#[derive(Debug)]
pub(crate) enum CommandEnd<T> {
    /// It exited with code 0.
    Succeeded,
    /// It exited with another code or was killed by a signal, as described in the text.
    Failed(String),
    /// It did not end within its timeout.
    TimedOut,
    /// It was stopped, for this reason.
    Stopped(T),
}

impl<T> CommandEnd<T> {
    fn of(status: ExitStatus) -> Self {
        if status.success() {
            Self::Succeeded
        } else {
            Self::Failed(describe(status))
        }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct CommandRun<T> {
    pub(crate) end: CommandEnd<T>,
    /// At most the last [`OUTPUT_LIMIT`] bytes of the program's output, with secrets masked.
    pub(crate) output: String,
}

/// The facts in a program's environment that are known only while the cell runs.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// See [`super::Cluster::kubeconfig`].
    pub(crate) kubeconfig: Option<OsString>,
    pub(crate) mock_url: String,
    pub(crate) nodes: Vec<NodeName>,
}

impl Surroundings {
    /// Sets the environment of `program` for the cell of `plan`.
    fn set(&self, program: &mut Command, plan: &CellPlan) {
        let names: Vec<_> = self.nodes.iter().map(NodeName::as_str).collect();
        program
            .env("CELL", plan.cell.id.as_str())
            .env("CONFIG", plan.cell.config.as_str())
            .env("KUBERNETES_VERSION", plan.cell.kubernetes.to_string())
            .env("MOCK_URL", &self.mock_url)
            .env("NAMESPACE", &plan.namespace)
            .env("NODES", self.nodes.len().to_string())
            .env("NODE_NAMES", names.join(" "))
            .env("OUTPUT", absolute(plan.output.clone()))
            .env("PROVIDER", plan.run.provider)
            .env("RUN", &plan.run.id);
        match &self.kubeconfig {
            Some(kubeconfig) => program.env("KUBECONFIG", kubeconfig),
            // A program for a cell without a cluster must not use another cluster by accident.
            None => program.env_remove("KUBECONFIG"),
        };
        for place in &plan.cell.axes {
            let name = format!("AXIS_{}", place.axis().to_ascii_uppercase());
            program.env(name, place.value());
        }
    }
}

/// Runs `command` for the cell of `plan` until it ends, `deadline` passes or `stop` completes. Then kills all of its
/// remaining processes.
pub(crate) async fn run<T>(
    plan: &CellPlan,
    command: &HostCommand,
    surroundings: &Surroundings,
    deadline: &Deadline,
    stop: impl Future<Output = T>,
) -> Result<CommandRun<T>, Failure> {
    let mark = format!("{}/{}", plan.mark, command.name);
    let resource = HostResource::Processes { mark: mark.clone() };
    plan.ledger.plan(&resource)?;
    let started = start(command, plan, &mark, surroundings);
    if started.is_err() {
        plan.ledger.gone(&resource)?;
    }
    let (mut group, mut receiver) = started?;
    let mut output = Tail::default();
    let end = {
        let waiting = async {
            tokio::select! {
                biased;
                status = group.wait() => status.map(CommandEnd::of),
                reason = stop => Ok(CommandEnd::Stopped(reason)),
                () = deadline.passed() => Ok(CommandEnd::TimedOut),
            }
        };
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            end = &mut waiting => end,
            () = output.read(&mut receiver) => waiting.await,
        }
    };
    // After SIGTERM, the program gets this long to end before it is killed.
    let grace = plan.clock.deadline(GRACE);
    let limit = plan.clock.deadline(CLEANUP_LIMIT);
    let ended = group.terminate(&grace).await;
    let (_, left) = Marked::Cell(mark).kill(&limit).await;
    if left.is_empty() {
        plan.ledger.gone(&resource)?;
    }
    // Reading ends when no process has the pipe open for writing.
    if limit.run(output.read(&mut receiver)).await.is_err() {
        tracing::debug!(command = %command.name, "the output did not end in time");
    }
    let end = end.map_err(|error| process_failed(&error))?;
    ended.map_err(|error| process_failed(&error))?;
    Ok(CommandRun {
        end,
        output: plan.mask.apply(&output.text()),
    })
}

/// Starts the program in its own process group. Returns the group, and the read end of the pipe for stdout and stderr.
fn start(
    command: &HostCommand,
    plan: &CellPlan,
    mark: &str,
    surroundings: &Surroundings,
) -> Result<(Group, pipe::Receiver), Failure> {
    let no_pipe = |error| {
        let message = format!("failed to create a pipe: {}", chain(&error));
        Failure::new(Symptom::ProcessFailed, message)
    };
    let (sender, receiver) = pipe::pipe().map_err(no_pipe)?;
    let stdout = sender.into_blocking_fd().map_err(no_pipe)?;
    let stderr = stdout.try_clone().map_err(no_pipe)?;
    let mut program = Command::new(&command.program);
    surroundings.set(&mut program, plan);
    program
        .args(&command.arguments)
        .current_dir(&plan.run.folder)
        .env(MARK, mark)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr);
    let group = Group::spawn(&mut program).map_err(|error| match &error {
        ProcessError::Start { .. } => Failure::new(Symptom::BadConfiguration, chain(&error))
            .with_remedy("check the program's first line (`#!…`), its format and its permissions"),
        ProcessError::Follow { .. }
        | ProcessError::TimedOut { .. }
        | ProcessError::Aborted { .. } => process_failed(&error),
    })?;
    Ok((group, receiver))
}

fn process_failed(error: &ProcessError) -> Failure {
    Failure::new(Symptom::ProcessFailed, chain(error))
}

/// The end of a program's output.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    /// How many earlier bytes were dropped.
    dropped: usize,
}

impl Tail {
    /// Reads until the output ends. Cancel safe: the next call continues.
    async fn read(&mut self, pipe: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            self.push(&buffer[..count]);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Shorten only rarely, because that moves the remaining bytes.
        if self.bytes.len() > 2 * OUTPUT_LIMIT {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let excess = self.bytes.len().saturating_sub(OUTPUT_LIMIT);
        self.bytes.drain(..excess);
        self.dropped += excess;
    }

    /// The kept output as text. If output was dropped, the text starts with a whole line, because masking wouldn't find
    /// a part of a secret.
    fn text(mut self) -> String {
        self.shorten();
        if self.dropped == 0 {
            return String::from_utf8_lossy(&self.bytes).into_owned();
        }
        let line_end = self.bytes.iter().position(|byte| *byte == b'\n');
        let rest = line_end.map_or(&[][..], |end| &self.bytes[end + 1..]);
        let dropped = self.dropped + self.bytes.len() - rest.len();
        let rest = String::from_utf8_lossy(rest);
        format!("[{dropped} bytes of output before this are left out]\n{rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_lines_of_long_output_are_kept() {
        let mut tail = Tail::default();
        for number in 0..1_000_000 {
            tail.push(format!("{number:07}\n").as_bytes());
        }
        let text = tail.text();
        let (note, lines) = text.split_once('\n').unwrap();
        let kept = OUTPUT_LIMIT - 8;
        let dropped = 8_000_000 - kept;
        assert_eq!(
            note,
            format!("[{dropped} bytes of output before this are left out]")
        );
        assert_eq!(lines.len(), kept);
        assert!(lines.ends_with("0999999\n"));
    }

    #[test]
    fn short_output_is_kept_unchanged() {
        let mut tail = Tail::default();
        tail.push(b"a\nb");
        assert_eq!(tail.text(), "a\nb");
    }
}
