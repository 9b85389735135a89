//! The live console as plain lines, for CI, files and terminals that can't redraw.

use std::io::{self, Write};

use indicatif::ProgressDrawTarget;

use super::TerminalInfo;
pub use super::lines::Detail;
use super::lines::Lines;
use super::progress::Progress;
use crate::event::Record;
use crate::record::Sink;

/// The live sink for standard error: redrawn lines on an interactive terminal, otherwise plain ones.
pub fn live(terminal: TerminalInfo, color: bool, detail: Detail) -> Box<dyn Sink> {
    if terminal.is_interactive {
        let width = || TerminalInfo::of(&io::stderr()).width;
        let target = ProgressDrawTarget::stderr();
        Box::new(Progress::new(target, width, color, detail))
    } else {
        Box::new(Console::new(io::stderr(), color, detail))
    }
}

/// Writes one line for every noteworthy event.
#[derive(Debug)]
pub struct Console<W> {
    out: W,
    lines: Lines,
}

impl<W: Write + Send> Console<W> {
    /// A console that writes to `out`.
    pub fn new(out: W, color: bool, detail: Detail) -> Self {
        let lines = Lines::new(color, detail);
        Self { out, lines }
    }
}

impl<W: Write + Send> Sink for Console<W> {
    fn on(&mut self, record: &Record) -> io::Result<()> {
        let Some(line) = self.lines.of(record) else {
            return Ok(());
        };
        self.out.write_all(format!("{line}\n").as_bytes())?;
        self.out.flush()
    }

    fn recall(&mut self, record: &Record) {
        drop(self.lines.of(record));
    }

    fn name(&self) -> &'static str {
        "console"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn written(records: &[Record], detail: Detail) -> String {
        let mut out = Vec::new();
        let mut console = Console::new(&mut out, false, detail);
        for record in records {
            console.on(record).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_lines() {
        insta::assert_snapshot!(written(&fixture::mixed(), Detail::Cells));
    }

    #[test]
    fn plain_lines_of_every_phase() {
        let records = fixture::killed(&fixture::MIXED[2..3]);
        insta::assert_snapshot!(written(&records, Detail::Phases));
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_a_panic() {
        let mut console = Console::new(io::Cursor::new([0; 10]), false, Detail::Cells);
        let error = console.on(&fixture::mixed()[0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
