//! Selects the lines of a log that a report quotes: the lines that say what went wrong, the start of each process, and
//! the end of the log, in order and with a mark for each gap. This module is pure: no I/O and no clock. No line is
//! changed or cut.

mod output;
mod ranking;
mod select;
#[cfg(test)]
mod tests;
mod usage;

pub use output::{Collector, Log, LogSource, ProcessOutput, Writer};
pub use select::{excerpt, last_line, plain_lines, reason, shortened};
