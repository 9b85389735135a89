//! Sends events from the code that observes them to the dispatcher, which records them.

use std::io;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{Event, Severity};

/// A message to the dispatcher, with its time.
pub type Stamped = (Timestamp, Message);

/// A message to the dispatcher.
#[derive(Debug)]
pub enum Message {
    /// An event of the run.
    Event(Box<Event>),
    /// A file in the run's folder could not be written. This doesn't change the verdict.
    WriteFailed {
        /// The file, as part of a sentence.
        what: String,
        /// The cause.
        error: io::Error,
    },
    /// The run has ended. The dispatcher, which folds the events, determines the verdict and adds the last event.
    End {
        /// How long the run took, in milliseconds.
        duration_ms: u64,
    },
}

/// Emits events. Cheap to clone. Emitting never waits and never fails: if the dispatcher is gone, the event is dropped.
#[derive(Clone, Debug)]
pub struct Emitter(mpsc::UnboundedSender<Stamped>);

impl Emitter {
    /// An emitter, and the receiver of its events.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Stamped>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Emits `event` with the current time.
    pub fn emit(&self, event: Event) {
        self.send(Message::Event(Box::new(event)));
    }

    /// Emits a notice.
    pub fn notice(&self, severity: Severity, text: impl Into<String>) {
        let text = text.into();
        self.emit(Event::Notice { severity, text });
    }

    /// Reports that `what` could not be written to the run's folder.
    pub fn write_failed(&self, what: impl Into<String>, error: io::Error) {
        let what = what.into();
        self.send(Message::WriteFailed { what, error });
    }

    /// Reports that the run ends now, after `duration_ms` milliseconds.
    pub fn end(&self, duration_ms: u64) {
        self.send(Message::End { duration_ms });
    }

    fn send(&self, message: Message) {
        if self.0.send((Timestamp::now(), message)).is_err() {
            tracing::debug!("dropped an event that was emitted after the end of the run");
        }
    }
}
