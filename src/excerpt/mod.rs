//! What a report quotes of a log: the lines that say what went wrong, the beginning of each process and the end of the log, in their
//! order and with a mark for every gap. Pure: no IO, no clock, and no line is ever changed or cut.

mod select;
mod telling;
#[cfg(test)]
mod tests;
mod usage;
mod written;

pub use select::{excerpt, shortened};
pub use written::{Collector, Log, Written};

use select::Quote;

/// The line that says best what went wrong, without colours: the worst one, and of several the last one.
pub fn reason(log: &Log) -> Option<String> {
    Quote::of(log).reason()
}

/// The lines of `log` without colours and usage texts.
pub fn spoken(log: &Log) -> Vec<String> {
    Quote::of(log).spoken()
}

/// The last line of `log` that is no usage text.
pub fn last_words(log: &Log) -> Option<String> {
    Quote::of(log).last_words().map(str::to_owned)
}
