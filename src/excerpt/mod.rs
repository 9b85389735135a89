//! Selects the lines of a log that a report quotes: the lines that say what went wrong, the start of each process and
//! the end of the log, in order and with a mark for each gap. Pure: no I/O, no clock, and no line is changed or cut.

mod select;
mod telling;
#[cfg(test)]
mod tests;
mod usage;
mod written;

pub use select::{excerpt, shortened};
pub use written::{Collector, Log, Written};

use select::Quote;

/// The line that best says what went wrong, without colors: the most severe one, and the last one of several.
pub fn reason(log: &Log) -> Option<String> {
    Quote::of(log).reason()
}

/// The lines of `log` without colors and usage texts.
pub fn spoken(log: &Log) -> Vec<String> {
    Quote::of(log).spoken()
}

/// The last line of `log` that isn't part of a usage text.
pub fn last_words(log: &Log) -> Option<String> {
    Quote::of(log).last_words().map(str::to_owned)
}
