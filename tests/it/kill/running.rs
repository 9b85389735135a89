//! The real binary while it runs: followed line by line, held in a phase, and signalled.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, Stdio};

use e2e_matrix::matrix::Phase;
use rustix::process::{Pid, Signal, kill_process};

/// A process that is gone with the test, whatever becomes of that.
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Fails where it has ended already.
        drop(self.0.kill());
    }
}

/// A run of the binary.
pub(crate) struct Running {
    pub(crate) child: Owned,
    pub(crate) lines: Lines<BufReader<ChildStderr>>,
    told: Vec<String>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What it said on stderr.
    pub(crate) stderr: Vec<String>,
    /// Its exit code; none where a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
}

impl Running {
    /// Starts `command`, and follows what it says.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child: Owned(child),
            lines,
            told: Vec::new(),
        }
    }

    /// Starts `command`, whose arguments hold it in `phase`, and waits until it is held.
    pub(crate) fn held(command: Command, phase: Phase) -> Self {
        let mut running = Self::start(command);
        running.wait_for(&format!("held in `{phase}`"));
        running
    }

    /// Waits until it says `text`.
    pub(crate) fn wait_for(&mut self, text: &str) {
        for line in self.lines.by_ref().map(Result::unwrap) {
            let found = line.contains(text);
            self.told.push(line);
            if found {
                return;
            }
        }
        panic!("it never said {text:?}: {:#?}", self.told);
    }

    /// Its process.
    pub(crate) fn process(&self) -> Pid {
        Pid::from_child(&self.child.0)
    }

    /// Sends it `signal`.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        self.told.extend(self.lines.by_ref().map(Result::unwrap));
        wait(self.child, self.told)
    }
}

/// Waits for the end of `child`, which has said `stderr`.
pub(crate) fn wait(mut child: Owned, stderr: Vec<String>) -> Ended {
    let status = child.0.wait().unwrap();
    Ended {
        stderr,
        code: status.code(),
        signal: status.signal(),
    }
}
