//! Signals: the first one ends the run in an orderly way, the second one ends it without clean-up, the third one ends the process.

use std::fs;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::event::Termination;
use crate::machine::process;
use crate::suite::Interruption;

/// How long a run that was given up may take to write its reports.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Interrupts at the first SIGINT, SIGTERM or SIGHUP, and gives the run up at the second: every child is killed, and the run ends
/// with its reports. Should it hang then, or at a third signal, `abandon` is called with the signal, and must end the process.
pub fn listen(
    interruption: &Interruption,
    abandon: impl Fn(Termination) + Send + Sync + 'static,
) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = hangups()?;
    let interruption = interruption.clone();
    let abandon = Arc::new(abandon);
    // Ends with the runtime: it listens as long as there is anything to interrupt.
    tokio::spawn(async move {
        loop {
            let by = tokio::select! {
                _ = interrupt.recv() => Termination::Interrupt,
                _ = terminate.recv() => Termination::Terminate,
                // A closed terminal asks for the same.
                () = next(&mut hangup) => Termination::Terminate,
            };
            let is_over = interruption.forced.is_cancelled();
            interruption.interrupt(by);
            // The exit code is the first signal's.
            let by = interruption.by().unwrap_or(by);
            if is_over {
                abandon(by);
            } else if interruption.forced.is_cancelled() {
                process::give_up();
                watch(by, &abandon);
            }
        }
    });
    Ok(())
}

/// Not a task: what it guards against may be that no task gets on.
fn watch(by: Termination, abandon: &Arc<impl Fn(Termination) + Send + Sync + 'static>) {
    let guard = thread::Builder::new().name("last words".to_owned());
    let hold_up = Arc::clone(abandon);
    let watching = guard.spawn(move || {
        thread::sleep(LAST_WORDS);
        hold_up(by);
    });
    if watching.is_err() {
        abandon(by);
    }
}

/// SIGHUP, unless whoever started this process has it ignored, as `nohup` does.
fn hangups() -> io::Result<Option<Signal>> {
    if is_ignored(SignalKind::hangup()) {
        return Ok(None);
    }
    signal(SignalKind::hangup()).map(Some)
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether the kernel says that this process ignores `kind`.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_kernel() {
        // Rust's runtime ignores it, so that a closed pipe is an error and no end.
        assert!(is_ignored(SignalKind::pipe()));
        assert!(!is_ignored(SignalKind::terminate()));
    }
}
