//! Processes identified by a mark in their environment, so that a process other than their parent can find them.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use procfs::process::{Process, all_processes};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::deadline::Deadline;

/// The environment variable that marks the processes of a run. Its value starts with `<run>/<cell>`, where `<run>` is
/// the run's token.
pub const MARK: &str = "E2E_MATRIX_PROCESS";

/// How long a killed process may take to disappear.
const KILLED: Duration = Duration::from_secs(2);
/// How often to check whether a killed process has disappeared. The kernel notifies only the process's parent.
const POLL: Duration = Duration::from_millis(20);

/// The processes of a cell or a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The processes of a cell, identified by their whole mark.
    Cell(String),
    /// The processes of all cells of a run, identified by the run's token.
    Run(String),
}

impl Marked {
    /// Whether `mark` is the mark of one of these processes.
    fn includes(&self, mark: &str) -> bool {
        match self {
            Self::Cell(own) => mark == own,
            Self::Run(token) => mark.split('/').next() == Some(token),
        }
    }

    /// The ids of the live processes with the mark; none if the kernel doesn't list processes.
    pub fn find(&self) -> Vec<i32> {
        let processes = all_processes().into_iter().flatten().flatten();
        let marked = processes.filter(|process| self.is_on(process));
        marked.map(|process| process.pid()).collect()
    }

    /// Whether the process has the mark. A zombie no longer has an environment.
    fn is_on(&self, process: &Process) -> bool {
        let environment = process.environ().unwrap_or_default();
        let mark = environment.get(OsStr::new(MARK));
        mark.and_then(|mark| mark.to_str())
            .is_some_and(|mark| self.includes(mark))
    }

    /// Kills the processes and waits until they are gone or the deadline passes. Returns how many there were, and the
    /// ids of those that are left.
    pub async fn kill(&self, deadline: &Deadline) -> (usize, Vec<i32>) {
        let patience = deadline.within(KILLED);
        let mut left = self.find_all().await;
        let mut seen: std::collections::BTreeSet<i32> = left.iter().copied().collect();
        while !left.is_empty() {
            for id in &left {
                if let Err(error) = self.kill_one(*id) {
                    tracing::debug!(id, %error, "a marked process is already gone");
                }
            }
            if patience.has_passed() {
                break;
            }
            patience.within(POLL).passed().await;
            left = self.find_all().await;
            seen.extend(&left);
        }
        (seen.len(), left)
    }

    /// Kills the process `id` if it has the mark. The process is opened before its mark is checked, so that its id
    /// can't be reused in between.
    fn kill_one(&self, id: i32) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(id) else {
            return Ok(());
        };
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        if Process::new(id).is_ok_and(|process| self.is_on(&process)) {
            pidfd_send_signal(&process, Signal::KILL)?;
        }
        Ok(())
    }

    async fn find_all(&self) -> Vec<i32> {
        let marked = self.clone();
        let found = tokio::task::spawn_blocking(move || marked.find()).await;
        found.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use tokio::process::Command;

    use super::*;
    use crate::deadline::RunClock;
    use crate::machine::process::Group;

    #[test]
    fn a_cell_is_matched_by_its_whole_mark_and_a_run_by_its_token() {
        let cell = |mark: &str| Marked::Cell(mark.to_owned()).includes("abcde/cell-1");
        assert!(cell("abcde/cell-1"));
        assert!(!cell("abcde/cell"));
        let run = |token: &str| Marked::Run(token.to_owned()).includes("abcde/cell-1");
        assert!(run("abcde"));
        assert!(!run("abcd"));
        assert!(!run("cell-1"));
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_mark_and_killed() {
        let token = format!("test{}", std::process::id());
        let mut command = Command::new("sleep");
        command.arg("600").env(MARK, format!("{token}/cell"));
        let mut group = Group::spawn(&mut command).unwrap();
        let marked = Marked::Run(token);
        let deadline = RunClock::new().deadline(Duration::from_secs(10));
        // The parent has to reap the process while `kill` waits; otherwise the search would continue until the
        // deadline.
        let (killed, _) = tokio::join!(marked.kill(&deadline), group.wait());
        assert_eq!(killed, (1, Vec::new()));
    }
}
