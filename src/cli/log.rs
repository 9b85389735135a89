//! The runner's own log, for debugging the runner: on stderr, and only on request. Everything that users have to know
//! is an event.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing_subscriber::EnvFilter;

use crate::secret::log_mask;

/// Which lines are logged, such as `debug` or `e2e_matrix=debug,kube=info`.
#[derive(Clone, Debug)]
pub(super) struct LogFilter(String);

/// Parses a filter. An error contains the place.
pub(super) fn parse(text: &str) -> Result<LogFilter, String> {
    let filter = EnvFilter::try_new(text).map_err(|error| error.to_string());
    filter.map(|_| LogFilter(text.to_owned()))
}

/// Starts to log what `filter` selects.
pub(super) fn install(filter: &LogFilter) {
    let installed = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&filter.0))
        .with_writer(|| Masked)
        .with_ansi(false)
        .try_init();
    if installed.is_err() {
        tracing::debug!("the process has a log already");
    }
}

/// Prints panics on stderr like the standard library, but with secrets masked.
pub(super) fn install_panics() {
    // A closed stderr must not turn a panic into an abort.
    panic::set_hook(Box::new(|info| {
        drop(io::stderr().write_all(panic_text(info).as_bytes()));
    }));
}

fn panic_text(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let mut text = format!("\nthread '{name}' {info}\n");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        // Writing to a string can't fail.
        let _ = writeln!(text, "stack backtrace:\n{backtrace}");
    }
    log_mask().apply(&text)
}

/// Standard error with secrets masked. Each write is a whole line of the log.
struct Masked;

impl io::Write for Masked {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let masked = log_mask().apply(&String::from_utf8_lossy(line));
        io::stderr().write_all(masked.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::secret::{Mask, Secret, hide_in_log};

    #[test]
    fn panics_mask_secrets() {
        hide_in_log(&Mask::new([Secret::new("canary-in-a-panic")]));
        let said = Arc::new(Mutex::new(String::new()));
        let hook = Arc::clone(&said);
        panic::set_hook(Box::new(move |info| {
            *hook.lock().unwrap() = panic_text(info);
        }));
        let panicked = panic::catch_unwind(|| panic!("what failed: canary-in-a-panic"));
        drop(panic::take_hook());
        assert!(panicked.is_err());
        let said = said.lock().unwrap();
        assert!(said.contains("src/cli/log.rs"), "{said}");
        assert!(said.contains("what failed: ***\n"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
