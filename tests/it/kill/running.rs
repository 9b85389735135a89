//! Controls the real binary while it runs: reads its output line by line, holds it in a phase, and sends it signals.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, Stdio};

use e2e_matrix::matrix::Phase;
use rustix::process::{Pid, Signal, kill_process};

/// A process that is killed at the end of the test, whether the test passes or fails.
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        drop(self.0.kill());
    }
}

/// A run of the binary.
pub(crate) struct Running {
    pub(crate) child: Owned,
    pub(crate) lines: Lines<BufReader<ChildStderr>>,
    output: Vec<String>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The run's output on stderr.
    pub(crate) stderr: Vec<String>,
    /// The run's exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended the run; `None` if it exited.
    pub(crate) signal: Option<i32>,
}

impl Running {
    /// Starts `command` and reads its output.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child: Owned(child),
            lines,
            output: Vec::new(),
        }
    }

    /// Starts `command`, whose arguments hold it in `phase`, and waits until it is held.
    pub(crate) fn held(command: Command, phase: Phase) -> Self {
        let mut running = Self::start(command);
        running.wait_for(&format!("held in `{phase}`"));
        running
    }

    /// Waits until the run prints `text`.
    pub(crate) fn wait_for(&mut self, text: &str) {
        for line in self.lines.by_ref().map(Result::unwrap) {
            let found = line.contains(text);
            self.output.push(line);
            if found {
                return;
            }
        }
        panic!("it never printed {text:?}: {:#?}", self.output);
    }

    /// The run's process.
    pub(crate) fn process(&self) -> Pid {
        Pid::from_child(&self.child.0)
    }

    /// Sends `signal` to the run.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).unwrap();
    }

    /// Waits until the run exits.
    pub(crate) fn end(mut self) -> Ended {
        self.output.extend(self.lines.by_ref().map(Result::unwrap));
        wait(self.child, self.output)
    }
}

/// Waits until `child` exits. `stderr` is its output so far.
pub(crate) fn wait(mut child: Owned, stderr: Vec<String>) -> Ended {
    let status = child.0.wait().unwrap();
    Ended {
        stderr,
        code: status.code(),
        signal: status.signal(),
    }
}
