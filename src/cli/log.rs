//! The runner's own log, for debugging the runner. It is written to a file in the folder of each run, and with `--log`
//! also to stderr. Everything that users have to know is an event instead.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};
use std::path::Path;
use std::thread;

use parking_lot::Mutex;
use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::secret::log_mask;

/// Checks a log filter, such as `debug` or `e2e_matrix=debug,kube=info`. Returns the filter, or why it is invalid.
pub(super) fn checked(filter: &str) -> Result<String, ParseError> {
    EnvFilter::try_new(filter).map(|_| filter.to_owned())
}

/// The filter for the log file in a run's folder.
const IN_FILE: &str = "e2e_matrix=debug";

/// The name of the log file.
const FILE_NAME: &str = "runner.log";

/// How many bytes of log lines to buffer until the run's folder exists. Further lines are dropped.
const MAX_PENDING: usize = 1 << 20;

/// Where lines for the log file are written.
static FILE: Mutex<Target> = Mutex::new(Target::Pending(Vec::new()));

enum Target {
    /// The buffered lines. The run's folder doesn't exist yet.
    Pending(Vec<u8>),
    /// The open log file. A failed write must not end the run.
    File(File),
}

/// Starts the log: lines that match `filter` are written to stderr. For a run, the lines of this program are also
/// buffered until [`write_to`] is called.
pub(super) fn install(filter: Option<&str>, is_run: bool) {
    if filter.is_none() && !is_run {
        return;
    }
    let installed = tracing_subscriber::registry()
        .with(filter.map(|filter| layer(filter, Destination::Stderr)))
        .with(is_run.then(|| layer(IN_FILE, Destination::File)))
        .try_init();
    if installed.is_err() {
        tracing::debug!("the process already has a log");
    }
}

/// Writes lines that match `filter` to `destination`.
fn layer<S>(filter: &str, destination: Destination) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fmt::layer::<S>()
        .with_ansi(false)
        .with_writer(move || destination)
        .with_filter(EnvFilter::new(filter))
}

/// From now on, writes the log to a file in `folder`, the run's folder. The file starts with the buffered lines.
pub(super) fn write_to(folder: &Path) {
    let path = folder.join(FILE_NAME);
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    let Ok(mut file) = opened.inspect_err(|error| {
        tracing::warn!(%error, path = %path.display(), "failed to open the log of the run");
    }) else {
        return;
    };
    let mut target = FILE.lock();
    if let Target::Pending(lines) = &*target {
        drop(file.write_all(masked(lines).as_bytes()));
    }
    *target = Target::File(file);
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

fn masked(lines: &[u8]) -> String {
    log_mask().apply(&String::from_utf8_lossy(lines))
}

/// Where lines of the log are written, with secrets masked. Each write is a whole line.
#[derive(Clone, Copy)]
enum Destination {
    Stderr,
    /// The file in the run's folder.
    File,
}

impl io::Write for Destination {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stderr => io::stderr().write_all(masked(line).as_bytes())?,
            Self::File => match &mut *FILE.lock() {
                // Secrets that become known later are masked when the lines are written.
                Target::Pending(lines) if lines.len() < MAX_PENDING => {
                    lines.extend_from_slice(line);
                }
                Target::Pending(_) => {}
                Target::File(file) => file.write_all(masked(line).as_bytes())?,
            },
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::secret::{Mask, Secret, hide_in_log};

    #[test]
    fn panics_mask_secrets() {
        hide_in_log(&Mask::new([Secret::new("canary-in-a-panic")]));
        let printed = Arc::new(Mutex::new(String::new()));
        let hook = Arc::clone(&printed);
        panic::set_hook(Box::new(move |info| {
            *hook.lock() = panic_text(info);
        }));
        let panicked = panic::catch_unwind(|| panic!("what failed: canary-in-a-panic"));
        drop(panic::take_hook());
        assert!(panicked.is_err());
        let printed = printed.lock();
        assert!(printed.contains("src/cli/log.rs"), "{printed}");
        assert!(printed.contains("what failed: ***\n"), "{printed}");
        assert!(!printed.contains("canary"), "{printed}");
    }
}
