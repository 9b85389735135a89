//! Selects the lines of a log that a report quotes: the lines that say what went wrong, the start of each process, and
//! the end of the log, in order and with a mark for each gap. Pure: no I/O and no clock. No line is changed or cut.

mod output;
mod ranking;
mod select;
#[cfg(test)]
mod tests;
mod usage;

pub use output::{Collector, Log, ProcessOutput};
pub use select::{excerpt, shortened};

use select::Candidates;

/// The line that best says what went wrong, without colors: the last of the most severe lines.
pub fn reason(log: &Log) -> Option<String> {
    Candidates::of(log).reason()
}

/// The lines of `log` without colors and usage texts.
pub fn plain_lines(log: &Log) -> Vec<String> {
    Candidates::of(log).plain_lines()
}

/// The last line of `log` that isn't part of a usage text.
pub fn last_line(log: &Log) -> Option<String> {
    Candidates::of(log).last_line().map(str::to_owned)
}
