//! Copies entries from a source to the buffers of a stream's sides.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Kind;
use super::buffer::{Buffer, Entry};
use crate::config::Interval;

/// A source of entries. Must not block.
pub(crate) trait Source: Send + 'static {
    /// The current entries.
    fn collect(&mut self) -> Vec<Entry>;

    /// The entries that would be lost if the process exited now. Empty for a source that measures.
    fn remainder(&mut self) -> Vec<Entry>;

    /// How many entries were dropped before they could be collected, since the last call.
    fn take_dropped(&mut self) -> u64;
}

/// One stream's collector.
pub(crate) struct Collector<S> {
    /// The stream.
    pub(crate) kind: Kind,
    /// The source.
    pub(crate) source: S,
    /// One buffer per side.
    pub(crate) buffers: Vec<Arc<Buffer>>,
    /// The time between collections.
    pub(crate) interval: Interval,
}

impl<S: Source> Collector<S> {
    /// Collects immediately, and then once per interval. When `stop` is cancelled, collects the rest and then cancels
    /// `collected`.
    pub(crate) async fn run(mut self, stop: CancellationToken, collected: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval.get());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let entries = self.source.collect();
            self.distribute(&entries);
        }
        let entries = self.source.remainder();
        self.distribute(&entries);
        collected.cancel();
    }

    fn distribute(&mut self, entries: &[Entry]) {
        for entry in entries {
            for buffer in &self.buffers {
                buffer.push(entry.clone());
            }
        }
        let lost = self.source.take_dropped()
            + self
                .buffers
                .iter()
                .map(|buffer| buffer.take_dropped())
                .sum::<u64>();
        if lost > 0 {
            warn!(
                lost,
                stream = self.kind.name(),
                "a full buffer dropped its oldest entries"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A source that counts collections, and has one entry left at the end.
    struct Counting(u32);

    impl Source for Counting {
        fn collect(&mut self) -> Vec<Entry> {
            self.0 += 1;
            vec![Entry::new(&self.0)]
        }

        fn remainder(&mut self) -> Vec<Entry> {
            vec![Entry::new(&"rest")]
        }

        fn take_dropped(&mut self) -> u64 {
            0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn both_sides_get_every_entry_including_the_rest_at_the_end() {
        let buffers = vec![Arc::new(Buffer::default()), Arc::new(Buffer::default())];
        let (stop, collected) = (CancellationToken::new(), CancellationToken::new());
        let collector = Collector {
            kind: Kind::Metrics,
            source: Counting(0),
            buffers: buffers.clone(),
            interval: Interval::new(Duration::from_secs(2)),
        };
        let running = tokio::spawn(collector.run(stop.clone(), collected.clone()));
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.cancel();
        running.await.unwrap();
        assert!(collected.is_cancelled());
        for buffer in buffers {
            assert_eq!(buffer.oldest().unwrap().body(), "[1,2,3,\"rest\"]");
        }
    }
}
