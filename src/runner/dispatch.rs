//! The one dispatcher: numbers events as they come and hands each to every sink. A sink that fails is told of once and left out;
//! it never changes a verdict.

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::event::{Event, Record, Severity, Stamped, VERSION};
use crate::report::Sink;

struct Dispatcher {
    sinks: Vec<Box<dyn Sink>>,
    sequence: u64,
}

/// Starts the dispatcher; it ends when every emitter is gone. Sinks may block, so it has a thread.
pub(super) fn start(
    sinks: Vec<Box<dyn Sink>>,
    mut events: UnboundedReceiver<Stamped>,
) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let mut dispatcher = Dispatcher { sinks, sequence: 0 };
        while let Some(stamped) = events.blocking_recv() {
            dispatcher.dispatch(stamped);
        }
    })
}

impl Dispatcher {
    fn dispatch(&mut self, (at, event): Stamped) {
        let record = Record {
            version: VERSION,
            sequence: self.sequence,
            at,
            event,
        };
        self.sequence += 1;
        let mut broken = Vec::new();
        self.sinks.retain_mut(|sink| match sink.on(&record) {
            Ok(()) => true,
            Err(error) => {
                broken.push(format!("failed to write {}: {error}", sink.name()));
                false
            }
        });
        for text in broken {
            let severity = Severity::Warning;
            self.dispatch((at, Event::Notice { severity, text }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

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
            self.0.lock().unwrap().push(record.clone());
            Ok(())
        }
        fn name(&self) -> &'static str {
            "memory"
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_told_of_once_and_the_others_go_on() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (emitter, events) = Emitter::new();
        let dispatcher = start(
            vec![Box::new(Full), Box::new(Kept(Arc::clone(&kept)))],
            events,
        );
        for _ in 0..2 {
            emitter.emit(Event::Notice {
                severity: Severity::Info,
                text: "hello".to_owned(),
            });
        }
        drop(emitter);
        dispatcher.await.unwrap();
        let texts: Vec<_> = kept
            .lock()
            .unwrap()
            .iter()
            .map(|record| match &record.event {
                Event::Notice { text, .. } => (record.sequence, text.clone()),
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert_eq!(
            texts,
            [
                (0, "hello".to_owned()),
                (
                    1,
                    "failed to write events.ndjson: no storage space".to_owned()
                ),
                (2, "hello".to_owned()),
            ]
        );
    }
}
