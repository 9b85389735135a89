//! A bounded queue of entries, which are kept until they are acknowledged. No I/O, no clock.
//!
//! When the queue is full, each new entry drops the oldest one. The collector reads and logs how many were dropped; a
//! log line from this module could end up in the same queue.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

/// The maximum number of entries in one buffer.
const CAPACITY: usize = 1000;
/// The maximum size of one batch in bytes; the Central API accepts bodies up to 1 MiB.
const LARGEST_BATCH: usize = 512 << 10;

/// An entry as JSON, shared by the buffers that contain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry(Arc<str>);

impl Entry {
    /// Serializes an entry.
    pub(crate) fn new(entry: &impl Serialize) -> Self {
        let json = serde_json::to_string(entry).expect("an entry can always be serialized");
        Self(json.into())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The oldest entries of a buffer.
#[derive(Debug)]
pub(crate) struct Batch {
    entries: Vec<Entry>,
    /// The sequence number of the first entry after the batch.
    end: u64,
}

impl Batch {
    /// A JSON array.
    pub(crate) fn body(&self) -> String {
        let entries: Vec<&str> = self.entries.iter().map(|entry| &*entry.0).collect();
        format!("[{}]", entries.join(","))
    }

    /// The entries themselves.
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// The queue, shared by its producers and consumers.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// The sequence number of the first entry, counted from the start of the buffer.
    first: u64,
    dropped: u64,
}

impl Buffer {
    /// Adds an entry. If the buffer is full, the oldest entry is dropped.
    pub(crate) fn push(&self, entry: Entry) {
        let mut state = self.lock();
        state.entries.push_back(entry);
        if state.entries.len() > CAPACITY {
            state.entries.pop_front();
            state.first += 1;
            state.dropped += 1;
        }
        drop(state);
        self.filled.notify_one();
    }

    /// As many of the oldest entries as fit into one body. They stay until they are acknowledged. `None` if there are
    /// no entries, so that no empty batch is posted.
    pub(crate) fn oldest(&self) -> Option<Batch> {
        let state = self.lock();
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.0.len() + 1;
            bytes <= LARGEST_BATCH
        };
        let mut entries: Vec<_> = state.entries.iter().take_while(fits).cloned().collect();
        if entries.is_empty() {
            // An entry that is too large is sent alone.
            entries.push(state.entries.front()?.clone());
        }
        Some(Batch {
            end: state.first + entries.len() as u64,
            entries,
        })
    }

    /// Removes the entries of a batch, except for those that have been dropped in the meantime.
    pub(crate) fn acknowledge(&self, batch: &Batch) {
        let mut state = self.lock();
        while state.first < batch.end && state.entries.pop_front().is_some() {
            state.first += 1;
        }
    }

    /// Removes all entries, and returns them.
    pub(crate) fn drain(&self) -> Vec<Entry> {
        std::iter::from_fn(|| {
            let batch = self.oldest()?;
            self.acknowledge(&batch);
            Some(batch.into_entries())
        })
        .flatten()
        .collect()
    }

    /// How many entries were dropped since the last call.
    pub(crate) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.lock().dropped)
    }

    /// Waits until there is an entry.
    pub(crate) async fn filled(&self) {
        while self.lock().entries.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Ignores poisoning: a thread that panicked while it held the lock left no partial state, because every change is
    /// a single step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: usize) -> Buffer {
        let buffer = Buffer::default();
        for number in 0..count {
            buffer.push(Entry::new(&number));
        }
        buffer
    }

    #[test]
    fn an_empty_buffer_has_no_batch() {
        assert!(Buffer::default().oldest().is_none());
    }

    #[test]
    fn entries_stay_until_they_are_acknowledged() {
        let buffer = filled(3);
        assert_eq!(buffer.oldest().unwrap().body(), "[0,1,2]");
        let batch = buffer.oldest().unwrap();
        buffer.push(Entry::new(&3));
        buffer.acknowledge(&batch);
        assert_eq!(buffer.oldest().unwrap().body(), "[3]");
    }

    #[test]
    fn the_oldest_entry_of_a_full_buffer_is_dropped_and_counted() {
        let buffer = filled(CAPACITY + 2);
        assert_eq!(buffer.take_dropped(), 2);
        assert_eq!(buffer.take_dropped(), 0);
        assert!(buffer.oldest().unwrap().body().starts_with("[2,3,"));
    }

    #[test]
    fn acknowledging_a_batch_keeps_later_entries_even_if_its_own_were_dropped() {
        let buffer = filled(CAPACITY);
        let batch = buffer.oldest().unwrap();
        for number in 0..10 {
            buffer.push(Entry::new(&format!("new {number}")));
        }
        buffer.acknowledge(&batch);
        assert_eq!(buffer.drain().len(), 10);
    }

    #[test]
    fn a_batch_fits_into_one_body_and_a_huge_entry_is_sent_alone() {
        let buffer = Buffer::default();
        let large = "x".repeat(LARGEST_BATCH / 2 - 10);
        for _ in 0..3 {
            buffer.push(Entry::new(&large));
        }
        assert!(buffer.oldest().unwrap().body().len() <= LARGEST_BATCH + 2);
        buffer.push(Entry::new(&"y".repeat(LARGEST_BATCH)));
        assert_eq!(buffer.drain().len(), 4);
        assert!(buffer.oldest().is_none());
    }

    #[tokio::test]
    async fn waiting_for_an_entry_ends_when_one_is_added() {
        let buffer = Arc::new(Buffer::default());
        let waiting = tokio::spawn({
            let buffer = Arc::clone(&buffer);
            async move { buffer.filled().await }
        });
        buffer.push(Entry::new(&1));
        waiting.await.unwrap();
    }
}
