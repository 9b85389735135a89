//! Signals: the first one ends the run in an orderly way.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::event::Termination;
use crate::suite::Interruption;

/// Interrupts at the first SIGINT, SIGTERM or SIGHUP. Clean-up goes on; a further signal changes nothing.
pub fn listen(interruption: &Interruption) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let interruption = interruption.clone();
    // Ends with the runtime: it listens as long as there is anything to interrupt.
    tokio::spawn(async move {
        loop {
            let by = tokio::select! {
                _ = interrupt.recv() => Termination::Interrupt,
                _ = terminate.recv() => Termination::Terminate,
                // A closed terminal asks for the same.
                _ = hangup.recv() => Termination::Terminate,
            };
            interruption.interrupt(by);
        }
    });
    Ok(())
}
