//! The dispatcher: numbers events, folds them into the model of the run, and passes each event to every sink. The run's
//! verdict follows from the model. A sink that fails is reported once and then dropped; it never changes a verdict.

use std::io;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::error::chain;
use crate::event::{Event, Message, Record, Severity, Stamped, VERSION};
use crate::record::{ModelBuilder, RunModel, Sink, verdict_of};
use crate::secret::Mask;

/// The message about a full disk. It is reported once, because everything else that can't be written has the same
/// cause.
const NO_SPACE: &str = "no space is left for the output of the run, so the record, reports and other files are incomplete or missing; \
     verdicts and the exit code are not affected; free some space, or choose another folder with `--output-dir DIR`";

struct Dispatcher {
    mask: Mask,
    sinks: Vec<Box<dyn Sink>>,
    model: ModelBuilder,
    sequence: u64,
    is_full: bool,
}

/// Starts the dispatcher in its own thread, because sinks may block. The dispatcher applies `mask` to every event.
/// `model` contains the events of earlier sessions, and `sequence` is the number of the next event. When all emitters
/// are dropped, the dispatcher ends and returns the model of the run.
pub(super) fn start(
    mask: Mask,
    sinks: Vec<Box<dyn Sink>>,
    model: ModelBuilder,
    sequence: u64,
    mut events: UnboundedReceiver<Stamped>,
) -> JoinHandle<RunModel> {
    tokio::task::spawn_blocking(move || {
        let mut dispatcher = Dispatcher {
            mask,
            sinks,
            model,
            sequence,
            is_full: false,
        };
        while let Some((at, message)) = events.blocking_recv() {
            match message {
                Message::Event(event) => dispatcher.dispatch(at, &event),
                Message::WriteFailed { what, error } => dispatcher.unwritten(at, &what, &error),
                Message::End { duration_ms } => dispatcher.end(at, duration_ms),
            }
        }
        dispatcher.model.finish()
    })
}

impl Dispatcher {
    fn dispatch(&mut self, at: Timestamp, event: &Event) {
        let record = Record {
            version: VERSION,
            sequence: self.sequence,
            at,
            event: masked(&self.mask, event),
        };
        self.sequence += 1;
        self.model.apply(&record);
        self.for_each_sink(at, |sink| sink.on(&record));
    }

    /// Adds the last event, whose verdict follows from all others, and passes the model to every sink.
    fn end(&mut self, at: Timestamp, duration_ms: u64) {
        let verdict = verdict_of(&self.model.clone().finish(), true);
        let finished = Event::RunFinished {
            verdict,
            duration_ms,
        };
        self.dispatch(at, &finished);
        let run = self.model.clone().finish();
        self.for_each_sink(at, |sink| sink.end(&run));
    }

    /// Calls `call` for each sink, and drops the sinks that fail.
    fn for_each_sink(&mut self, at: Timestamp, call: impl Fn(&mut dyn Sink) -> io::Result<()>) {
        let mut broken = Vec::new();
        self.sinks.retain_mut(|sink| match call(&mut **sink) {
            Ok(()) => true,
            Err(error) => {
                broken.push((sink.name(), error));
                false
            }
        });
        for (name, error) in broken {
            self.unwritten(at, name, &error);
        }
    }

    fn unwritten(&mut self, at: Timestamp, what: &str, error: &io::Error) {
        let text = if is_out_of_space(error) {
            if std::mem::replace(&mut self.is_full, true) {
                return;
            }
            format!("{NO_SPACE} (first: {what}: {})", chain(error))
        } else {
            format!("failed to write {what}: {}", chain(error))
        };
        let severity = Severity::Warning;
        self.dispatch(at, &Event::Notice { severity, text });
    }
}

/// The fields of events that contain text from outside the runner: from agents, the API server or the operating system.
/// All other text fields aren't masked; a test states the reason for each of them.
const FREE_TEXTS: [&str; 18] = [
    "address",
    "agent",
    "expected",
    "fix",
    "line",
    "lines",
    "message",
    "mock",
    "node",
    "nodes",
    "provider_reason",
    "reason",
    "remedy",
    "seen",
    "source",
    "text",
    "tuning",
    "warnings",
];

/// `event` with secrets masked in its free text.
fn masked(mask: &Mask, event: &Event) -> Event {
    event.map_texts(|field, text| {
        if FREE_TEXTS.contains(&field) {
            mask.apply(text)
        } else {
            text.to_owned()
        }
    })
}

/// Whether the disk is full or a quota is exhausted.
fn is_out_of_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod masking;

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::event::Emitter;

    struct Full;
    impl Sink for Full {
        fn on(&mut self, _: &Record) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn name(&self) -> &'static str {
            "events.ndjson"
        }
    }

    struct Kept(Arc<Mutex<Vec<Record>>>);
    impl Sink for Kept {
        fn on(&mut self, record: &Record) -> io::Result<()> {
            self.0.lock().push(record.clone());
            Ok(())
        }
        fn name(&self) -> &'static str {
            "memory"
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_reported_once_and_other_sinks_continue() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (emitter, events) = Emitter::new();
        let dispatcher = start(
            Mask::default(),
            vec![Box::new(Full), Box::new(Kept(Arc::clone(&kept)))],
            ModelBuilder::default(),
            0,
            events,
        );
        let hello = || Event::Notice {
            severity: Severity::Info,
            text: "hello".to_owned(),
        };
        emitter.emit(hello());
        emitter.write_failed("a log", io::ErrorKind::StorageFull.into());
        emitter.write_failed("a copy", io::ErrorKind::PermissionDenied.into());
        emitter.emit(hello());
        drop(emitter);
        dispatcher.await.unwrap();
        let kept = kept.lock();
        let texts = kept.iter().map(|record| match &record.event {
            Event::Notice { text, .. } => (record.sequence, text.as_str()),
            other => panic!("unexpected {other:?}"),
        });
        let full = format!("{NO_SPACE} (first: events.ndjson: no storage space)");
        assert_eq!(
            texts.collect::<Vec<_>>(),
            [
                (0, "hello"),
                (1, &*full),
                (2, "failed to write a copy: permission denied"),
                (3, "hello"),
            ]
        );
    }
}
