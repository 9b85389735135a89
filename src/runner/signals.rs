//! Signals: the first one ends the run with cleanup, the second one without, and the third one ends the process.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use procfs::process::Process;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::event::Termination;
use crate::machine::process;
use crate::suite::Interruption;

/// How long an aborted run may take to write its reports.
const ABORT_GRACE: Duration = Duration::from_secs(5);

/// Interrupts the run at the first SIGINT, SIGTERM or SIGHUP, and aborts it at the second: every child is killed, and
/// the run ends with its reports. If the aborted run hangs, or a third signal arrives, calls `abandon` with the first
/// signal. `abandon` has to end the process.
pub fn handle_signals(
    interruption: &Interruption,
    abandon: impl Fn(Termination) + Send + Sync + 'static,
) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = hangups()?;
    let interruption = interruption.clone();
    let abandon = Arc::new(abandon);
    // The task ends with the runtime, so it listens as long as there is something to interrupt.
    tokio::spawn(async move {
        loop {
            let by = tokio::select! {
                _ = interrupt.recv() => Termination::Interrupt,
                _ = terminate.recv() => Termination::Terminate,
                // SIGHUP, which means a closed terminal, counts as SIGTERM.
                Some(()) = async { hangup.as_mut()?.recv().await } => Termination::Terminate,
            };
            let is_over = interruption.forced.is_cancelled();
            interruption.interrupt(by);
            // The exit code is that of the first signal.
            let by = interruption.by().unwrap_or(by);
            if is_over {
                abandon(by);
            } else if interruption.forced.is_cancelled() {
                process::kill_all();
                watch(by, &abandon);
            }
        }
    });
    Ok(())
}

/// Calls `abandon` after [`ABORT_GRACE`]. Uses a thread instead of a task, because the runtime may hang.
fn watch(by: Termination, abandon: &Arc<impl Fn(Termination) + Send + Sync + 'static>) {
    let guard = thread::Builder::new().name("abort".to_owned());
    let abandon_late = Arc::clone(abandon);
    let watching = guard.spawn(move || {
        thread::sleep(ABORT_GRACE);
        abandon_late(by);
    });
    if watching.is_err() {
        abandon(by);
    }
}

/// SIGHUP, unless it is ignored, as under `nohup`.
fn hangups() -> io::Result<Option<Signal>> {
    if is_ignored(SignalKind::hangup()) {
        return Ok(None);
    }
    signal(SignalKind::hangup()).map(Some)
}

/// Whether this process ignores `kind`, according to the kernel.
fn is_ignored(kind: SignalKind) -> bool {
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign >> (kind.as_raw_value() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_kernel() {
        // Rust's runtime ignores SIGPIPE, so that a closed pipe is an error and doesn't end the process.
        assert!(is_ignored(SignalKind::pipe()));
        assert!(!is_ignored(SignalKind::terminate()));
    }
}
