//! The runner's own log, for who looks into the runner: to stderr, and only where it is asked for. What users must know is said in events.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::secret::log_mask;

/// Which lines are logged, such as `debug` or `e2e_matrix=debug,kube=info`.
#[derive(Clone, Debug)]
pub(super) struct LogFilter(String);

/// Reads a filter; a wrong one is told with its place.
pub(super) fn parse(text: &str) -> Result<LogFilter, String> {
    let filter = EnvFilter::try_new(text).map_err(|error| error.to_string());
    filter.map(|_| LogFilter(text.to_owned()))
}

/// Logs what `filter` lets through from now on.
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

/// Standard error without secrets. Each write is a whole line of the log.
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
