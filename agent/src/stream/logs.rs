//! The log source: the agent's own log lines since the last collection.

use std::sync::Arc;

use super::buffer::{Buffer, Entry};
use super::collector::Source;

/// Lines that haven't been collected yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured(Arc<Buffer>);

impl Captured {
    /// Adds a line. Must not log, because it is called while a line is being logged.
    pub(crate) fn push(&self, line: Entry) {
        self.0.push(line);
    }
}

impl Source for Captured {
    fn collect(&mut self) -> Vec<Entry> {
        self.0.drain()
    }

    fn remainder(&mut self) -> Vec<Entry> {
        self.collect()
    }

    fn take_dropped(&mut self) -> u64 {
        self.0.take_dropped()
    }
}
