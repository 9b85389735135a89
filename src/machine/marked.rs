//! Processes by the mark in their environment: how those of a run are found by whoever is not their parent.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::deadline::Deadline;

/// The environment variable that marks the processes of a run: `<run>/<cell>`.
pub const MARK: &str = "E2E_MATRIX_PROCESS";

/// How long a killed process may take to be gone.
const KILLED: Duration = Duration::from_secs(2);
/// How often it is looked for meanwhile: the kernel tells nobody but a parent.
const LOOK: Duration = Duration::from_millis(20);

/// Whose processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// A cell's: the whole mark.
    Cell(String),
    /// Every cell's of a run: its token.
    Run(String),
}

impl Marked {
    /// Whether `environment`, as the kernel shows it, carries the mark.
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

    /// The live processes that carry it, by their ids. None where the kernel shows none.
    pub fn find(&self) -> Vec<i32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        ids.filter(|id| self.carries(*id)).collect()
    }

    /// One that is only waiting to be reaped has no environment any more.
    fn carries(&self, id: i32) -> bool {
        let environment = fs::read(Path::new("/proc").join(id.to_string()).join("environ"));
        environment.is_ok_and(|environment| self.is_on(&environment))
    }

    /// Kills them, and looks until none is there or the time is over. Returns how many there were, and which are left.
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

    /// The id is held before the mark is looked for, so that nobody else can have it in between.
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
    fn a_mark_is_a_whole_entry_and_a_runs_is_its_token() {
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
        // Its parent reaps it meanwhile, or it would be looked for till the end.
        let (killed, _) = tokio::join!(marked.kill(&deadline), group.wait());
        assert_eq!(killed, (1, Vec::new()));
    }
}
