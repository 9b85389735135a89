//! The way of events from those who know them to the one dispatcher that writes them down.

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Event;

/// An event and when it happened.
pub type Stamped = (Timestamp, Event);

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
        if self.0.send((Timestamp::now(), event)).is_err() {
            tracing::debug!("an event after the end of its run");
        }
    }
}
