//! The agent's log lines: printed on stderr, and captured as entries of the log stream.
//!
//! Only the agent's own lines are captured. The HTTP client logs every delivery, so capturing its lines would cause yet
//! another delivery.

use std::fmt::{self, Write};
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::stream::{Captured, Entry};
use crate::wire::LogEntry;

/// The filter if `RUST_LOG` is not set or invalid.
const DEFAULT_FILTER: &str = "warn,plexd_agent=info";
/// The maximum length of a captured message in bytes, so that a batch fits into a body.
const LONGEST_MESSAGE: usize = 8 << 10;

/// Starts to log to stderr and to capture lines. If the process already has a subscriber, that subscriber stays and
/// nothing is captured.
pub(crate) fn install(captured: Captured, hostname: &str) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(io::stderr)
                .with_ansi(false),
        )
        .with(Capture {
            captured,
            hostname: hostname.into(),
        });
    // Fails only if there is already a subscriber.
    drop(subscriber.try_init());
}

/// Converts events to entries.
struct Capture {
    captured: Captured,
    hostname: String,
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        if !metadata.target().starts_with(env!("CARGO_CRATE_NAME")) {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        self.captured.push(Entry::new(&LogEntry {
            timestamp: crate::clock::now(),
            source: "plexd",
            unit: metadata.target(),
            message: &line.finish(),
            severity: severity(*metadata.level()),
            hostname: &self.hostname,
        }));
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// A message and its fields: `message key=value …`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn finish(self) -> String {
        let mut line = self.message + &self.fields;
        let end = (0..=LONGEST_MESSAGE)
            .rev()
            .find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or_default());
        line
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("writing to a string never fails");
    }
}

#[cfg(test)]
mod tests {
    use tracing::{info, warn};

    use super::*;
    use crate::stream::Source;

    fn captured(log: impl FnOnce()) -> String {
        let mut captured = Captured::default();
        let capture = Capture {
            captured: captured.clone(),
            hostname: "node".into(),
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(capture), log);
        captured.collect().iter().map(Entry::to_string).collect()
    }

    #[test]
    fn a_line_is_captured_with_its_fields() {
        let text = captured(|| warn!(count = 3, reason = "because", "something {}", "happened"));
        assert!(
            text.contains(r#""message":"something happened count=3 reason=\"because\"""#),
            "{text}"
        );
        assert!(
            text.contains(r#""severity":"warning""#) && text.contains(r#""hostname":"node""#),
            "{text}"
        );
    }

    #[test]
    fn lines_of_other_crates_are_not_captured() {
        assert_eq!(captured(|| info!(target: "hyper", "a request")), "");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = captured(|| info!("{}", "ä".repeat(LONGEST_MESSAGE)));
        assert!(text.len() < LONGEST_MESSAGE + 300, "{}", text.len());
    }
}
