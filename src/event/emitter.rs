//! The way of events from those who know them to the one dispatcher that writes them down.

use std::io;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Event;

/// What was said, and when.
pub type Stamped = (Timestamp, Said);

/// What reaches the dispatcher.
#[derive(Debug)]
pub enum Said {
    /// Something happened in the run.
    Event(Box<Event>),
    /// A file of the run's output could not be written. It changes no verdict.
    Unwritten {
        /// What, for a sentence.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// Everything has been said. Whoever folds the events knows the verdict, and says the last event.
    End {
        /// How long the run took, in milliseconds.
        duration_ms: u64,
    },
}

/// Says events. Cheap to clone; never waits and never fails: a run whose dispatcher is gone has nobody left to tell.
#[derive(Clone, Debug)]
pub struct Emitter(mpsc::UnboundedSender<Stamped>);

impl Emitter {
    /// An emitter and where its events arrive.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Stamped>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Says that `event` happens now.
    pub fn emit(&self, event: Event) {
        self.say(Said::Event(Box::new(event)));
    }

    /// Says that `what` could not be written into the run's folder.
    pub fn unwritten(&self, what: impl Into<String>, error: io::Error) {
        let what = what.into();
        self.say(Said::Unwritten { what, error });
    }

    /// Says that the run ends now, after `duration_ms` milliseconds.
    pub fn end(&self, duration_ms: u64) {
        self.say(Said::End { duration_ms });
    }

    fn say(&self, said: Said) {
        if self.0.send((Timestamp::now(), said)).is_err() {
            tracing::debug!("an event after the end of its run");
        }
    }
}
