//! The runner's own log, for who looks into the runner: to stderr, and only where it is asked for. What users must know is said in events.

use std::io;

use tracing_subscriber::EnvFilter;

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
        .with_writer(io::stderr)
        .with_ansi(false)
        .try_init();
    if installed.is_err() {
        tracing::debug!("the process has a log already");
    }
}
