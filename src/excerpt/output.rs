//! The output of processes, limited to whole lines from its start and its end.

use std::collections::VecDeque;
use std::fmt;

/// How many bytes are kept from the start of a process's output.
const HEAD: usize = 256 * 1024;
/// How many bytes are kept from the end of a process's output.
const TAIL: usize = 768 * 1024;
/// The longest line that is kept, in bytes. A longer line is dropped completely, because a truncated line could end
/// within a secret, which masking wouldn't find.
const LONGEST_LINE: usize = 64 * 1024;

/// The source of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// The program that wrote the log.
    pub writer: Writer,
    /// The name of the writer's node.
    pub node: String,
}

/// A writer of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The agent.
    Agent,
    /// The mock.
    Mock,
    /// Another pod, by its name.
    Other(String),
}

impl fmt::Display for LogSource {
    /// Writes the name for reports, such as `plexd on plexd-e2e-…-worker`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writer = match &self.writer {
            Writer::Agent => "plexd",
            Writer::Mock => "mock-api",
            Writer::Other(pod) => pod,
        };
        write!(formatter, "{writer} on {}", self.node)
    }
}

/// The log of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where it comes from.
    pub source: LogSource,
    /// The output of each of its processes, in order.
    pub processes: Vec<ProcessOutput>,
    /// Why the log couldn't be read.
    pub(super) problem: Option<String>,
}

impl Log {
    /// A log with the output of `processes`.
    pub const fn new(source: LogSource, processes: Vec<ProcessOutput>) -> Self {
        Self {
            source,
            processes,
            problem: None,
        }
    }

    /// A log that couldn't be read. Its only line says why.
    pub fn unreadable(source: LogSource, why: &str) -> Self {
        Self {
            source,
            processes: Vec::new(),
            problem: Some(format!("(failed to read the log: {why})")),
        }
    }

    /// Whether the log could be read.
    pub const fn is_read(&self) -> bool {
        self.problem.is_none()
    }

    /// All lines that were kept.
    pub fn text(&self) -> String {
        let problem = self.problem.iter().map(|problem| format!("{problem}\n"));
        let texts = self.processes.iter().map(ProcessOutput::text);
        problem.chain(texts).collect()
    }
}

/// The output of one process: all of it, or its start and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessOutput {
    pub(super) head: Vec<String>,
    /// How many lines between `head` and `tail` were dropped.
    pub(super) skipped: usize,
    pub(super) tail: Vec<String>,
}

impl ProcessOutput {
    /// The output of a process that wrote `text`.
    pub fn of(text: &str) -> Self {
        let mut collector = Collector::default();
        collector.feed(text.as_bytes());
        collector.finish()
    }

    /// The same output with `change` applied to each line.
    #[must_use]
    pub fn map(mut self, change: impl Fn(&str) -> String) -> Self {
        for line in self.head.iter_mut().chain(&mut self.tail) {
            *line = change(line);
        }
        self
    }

    /// Whether the first line starts with `text`.
    pub fn starts_with(&self, text: &str) -> bool {
        self.head.first().is_some_and(|line| line.starts_with(text))
    }

    /// Whether the output is empty.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.skipped == 0
    }

    /// The lines that were kept.
    pub(super) fn lines(&self) -> impl Iterator<Item = &String> {
        self.head.iter().chain(&self.tail)
    }

    pub(super) fn text(&self) -> String {
        let gap = (self.skipped > 0).then(|| gap_mark(self.skipped));
        let lines = self.head.iter().chain(&gap).chain(&self.tail);
        lines.flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

/// The mark for `count` omitted lines.
pub(super) fn gap_mark(count: usize) -> String {
    let lines = if count == 1 { "line" } else { "lines" };
    format!("… {count} {lines} left out")
}

/// How many lines the mark `line` represents; `None` if it isn't a mark. A number with more than 32 bits isn't from a
/// mark.
pub(super) fn gap_size(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("… ")?;
    let count: u32 = rest.split(' ').next()?.parse().ok()?;
    let count = usize::try_from(count).ok()?;
    (line == gap_mark(count)).then_some(count)
}

/// Collects the output of a process piece by piece, within the limits.
#[derive(Debug, Default)]
pub struct Collector {
    head: Vec<String>,
    head_bytes: usize,
    skipped: usize,
    tail: VecDeque<String>,
    tail_bytes: usize,
    line: Vec<u8>,
    line_bytes: usize,
}

impl Collector {
    /// Adds the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend(&text[..text.len().min(room)]);
            self.line_bytes += text.len();
            if text.len() < part.len() {
                self.end_line();
            }
        }
    }

    /// The collected output. A last line without a line ending is included.
    pub fn finish(mut self) -> ProcessOutput {
        if self.line_bytes > 0 {
            self.end_line();
        }
        ProcessOutput {
            head: self.head,
            skipped: self.skipped,
            tail: self.tail.into(),
        }
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line_bytes);
        let line = std::mem::take(&mut self.line);
        if bytes > LONGEST_LINE {
            self.keep(format!("(a line of {bytes} bytes is left out)"));
        } else {
            let line = String::from_utf8_lossy(&line);
            self.keep(line.strip_suffix('\r').unwrap_or(&line).to_owned());
        }
    }

    fn keep(&mut self, line: String) {
        let bytes = line.len() + 1;
        if self.tail.is_empty() && self.skipped == 0 && self.head_bytes + bytes <= HEAD {
            self.head_bytes += bytes;
            self.head.push(line);
            return;
        }
        self.tail_bytes += bytes;
        self.tail.push_back(line);
        while self.tail_bytes > TAIL {
            let first = self.tail.pop_front().unwrap_or_default();
            self.tail_bytes -= first.len() + 1;
            self.skipped += 1;
        }
    }
}
