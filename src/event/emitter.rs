//! How events get from the code that observes them to the one dispatcher that records them.

use std::io;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Event;

/// A message to the dispatcher, with its time.
pub type Stamped = (Timestamp, Said);

/// A message to the dispatcher.
#[derive(Debug)]
pub enum Said {
    /// An event of the run.
    Event(Box<Event>),
    /// A file of the run's output could not be written. This doesn't change the verdict.
    Unwritten {
        /// What could not be written, as part of a sentence.
        what: String,
        /// The cause.
        error: io::Error,
    },
    /// The run is over. The dispatcher folds the events, so it determines the verdict and adds the last event.
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
        self.say(Said::Event(Box::new(event)));
    }

    /// Reports that `what` could not be written to the run's folder.
    pub fn unwritten(&self, what: impl Into<String>, error: io::Error) {
        let what = what.into();
        self.say(Said::Unwritten { what, error });
    }

    /// Reports that the run ends now, after `duration_ms` milliseconds.
    pub fn end(&self, duration_ms: u64) {
        self.say(Said::End { duration_ms });
    }

    fn say(&self, said: Said) {
        if self.0.send((Timestamp::now(), said)).is_err() {
            tracing::debug!("an event after the end of its run");
        }
    }
}
