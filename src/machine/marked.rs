//! Processes identified by a mark in their environment, so that a process other than their parent can find them.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::deadline::Deadline;

/// The environment variable that marks the processes of a run: `<run>/<cell>`.
pub const MARK: &str = "E2E_MATRIX_PROCESS";

/// How long a killed process may take to disappear.
const KILLED: Duration = Duration::from_secs(2);
/// How often to check for it in the meantime: only a parent is notified by the kernel.
const LOOK: Duration = Duration::from_millis(20);

/// The processes of a cell or a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The processes of a cell: the whole mark.
    Cell(String),
    /// The processes of all cells of a run: its token.
    Run(String),
}

impl Marked {
    /// Whether `environment`, in the kernel's format, contains the mark.
    fn is_on(&self, environment: &[u8]) -> bool {
        let mut entries = environment.split(|byte| *byte == 0);
        match self {
            Self::Cell(mark) => {
                let entry = format!("{MARK}={mark}");
                entries.any(|other| other == entry.as_bytes())
            }
            Self::Run(token) => {
                let start = format!("{MARK}={token}/");
                entries.any(|other| other.starts_with(start.as_bytes()))
            }
        }
    }

    /// The ids of the live processes with the mark. `None` if the kernel doesn't list processes.
    pub fn find(&self) -> Vec<i32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        ids.filter(|id| self.carries(*id)).collect()
    }

    /// Whether the process `id` has the mark. A zombie has no environment any more.
    fn carries(&self, id: i32) -> bool {
        let environment = fs::read(Path::new("/proc").join(id.to_string()).join("environ"));
        environment.is_ok_and(|environment| self.is_on(&environment))
    }

    /// Kills the processes and waits until they are gone or the deadline passes. Returns how many there were, and the
    /// ids of those that are left.
    pub async fn kill(&self, deadline: &Deadline) -> (usize, Vec<i32>) {
        let patience = deadline.within(KILLED);
        let mut left = self.look().await;
        let mut seen: std::collections::BTreeSet<i32> = left.iter().copied().collect();
        while !left.is_empty() {
            for id in &left {
                if let Err(error) = self.kill_one(*id) {
                    tracing::debug!(id, %error, "a process that was left is gone");
                }
            }
            if patience.has_passed() {
                break;
            }
            patience.within(LOOK).passed().await;
            left = self.look().await;
            seen.extend(&left);
        }
        (seen.len(), left)
    }

    /// The process is pinned before its mark is checked, so that its id can't be reused in between.
    fn kill_one(&self, id: i32) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(id) else {
            return Ok(());
        };
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        if self.carries(id) {
            pidfd_send_signal(&process, Signal::KILL)?;
        }
        Ok(())
    }

    async fn look(&self) -> Vec<i32> {
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
    fn a_mark_matches_a_whole_entry_and_a_run_matches_by_its_token() {
        let environment = b"PATH=/bin\0E2E_MATRIX_PROCESS=abcde/cell-1\0";
        let cell = |mark: &str| Marked::Cell(mark.to_owned()).is_on(environment);
        assert!(cell("abcde/cell-1"));
        assert!(!cell("abcde/cell"));
        let run = |token: &str| Marked::Run(token.to_owned()).is_on(environment);
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
        // Its parent has to reap it in the meantime; otherwise the search would continue until the deadline.
        let (killed, _) = tokio::join!(marked.kill(&deadline), group.wait());
        assert_eq!(killed, (1, Vec::new()));
    }
}
