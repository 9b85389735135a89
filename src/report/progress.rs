//! The live console on a terminal. Each running or waiting cell has one line, which is redrawn. The results of finished
//! cells are printed above.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::{Detail, Lines, one_line};
use super::text;
use crate::event::{Event, Record};
use crate::matrix::CellId;
use crate::record::Sink;

/// The indentation of the continuation lines of a wrapped line, which aligns them with its text.
const INDENT: &str = "            ";

/// How often the elapsed times are updated.
const TICK: Duration = Duration::from_millis(250);

/// Returns the current number of columns of the terminal.
type Width = fn() -> Option<usize>;

/// Draws the running cells.
#[derive(Debug)]
pub struct Progress {
    screen: MultiProgress,
    lines: Lines,
    running: HashMap<CellId, ProgressBar>,
    total: Option<ProgressBar>,
    width: Width,
}

impl Progress {
    /// A console that draws to `target`, which has `width` columns.
    pub fn new(target: ProgressDrawTarget, width: Width, color: bool, detail: Detail) -> Self {
        Self {
            screen: MultiProgress::with_draw_target(target),
            lines: Lines::new(color, detail),
            running: HashMap::new(),
            total: None,
            width,
        }
    }

    fn start_run(&mut self) {
        let total = self.screen.add(bar("{spinner} {msg} {elapsed}"));
        total.set_message(self.lines.progress());
        total.enable_steady_tick(TICK);
        self.total = Some(total);
    }

    fn start_cell(&mut self, cell: &CellId) {
        let bar = bar("{spinner} {prefix} {wide_msg} {elapsed:>5}");
        let width = self.lines.id_width;
        bar.set_prefix(format!("{cell:<width$}"));
        let bar = match &self.total {
            Some(total) => self.screen.insert_before(total, bar),
            None => self.screen.add(bar),
        };
        bar.enable_steady_tick(TICK);
        if let Some(before) = self.running.insert(cell.clone(), bar) {
            self.screen.remove(&before);
        }
    }

    fn show(&self, cell: &CellId, message: String) {
        if let Some(bar) = self.running.get(cell) {
            bar.set_message(message);
        }
    }

    fn show_phase(&self, cell: &CellId, name: &str, text: &str) {
        self.show(cell, format!("{:<14} {}", one_line(name), one_line(text)));
    }

    fn finish_cell(&mut self, cell: &CellId) {
        if let Some(bar) = self.running.remove(cell) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
        self.show_total();
    }

    fn show_total(&self) {
        if let Some(total) = &self.total {
            total.set_message(self.lines.progress());
        }
    }

    fn finish_run(&mut self) -> io::Result<()> {
        let running = self.running.drain().map(|(_, bar)| bar);
        for bar in running.chain(self.total.take()) {
            bar.finish_and_clear();
        }
        self.screen.clear()
    }
}

impl Sink for Progress {
    fn on(&mut self, record: &Record) -> io::Result<()> {
        let mut line = self.lines.of(record);
        let mut ended = Ok(());
        match &record.event {
            Event::RunStarted { .. } => self.start_run(),
            Event::RunResumed { .. } => {
                // In a replay, the lines of the previous session are still on the screen.
                ended = self.finish_run();
                self.start_run();
            }
            Event::CellWaiting { cell, text } => {
                if !self.running.contains_key(cell) {
                    self.start_cell(cell);
                }
                self.show(cell, one_line(text));
            }
            Event::CellStarted { cell, .. } => {
                self.start_cell(cell);
                // The drawn line already shows the start of the cell.
                line = None;
            }
            Event::PhaseStarted {
                cell,
                phase,
                command,
            } => self.show_phase(cell, command.as_deref().unwrap_or(phase.name()), ""),
            Event::PhaseProgress { cell, phase, text } => {
                self.show_phase(cell, phase.name(), text);
            }
            Event::CellRetried { cell, .. } | Event::CellFinished { cell, .. } => {
                self.finish_cell(cell);
            }
            Event::CellsAdded { .. } => self.show_total(),
            Event::RunFinished { .. } => ended = self.finish_run(),
            Event::Notice { .. }
            | Event::CellFacts { .. }
            | Event::PhaseFinished { .. }
            | Event::Diagnostics { .. }
            | Event::Counters { .. }
            | Event::CellKept { .. }
            | Event::Timings { .. }
            | Event::Interrupted { .. } => {}
        }
        let Some(line) = line else {
            return ended;
        };
        // If nothing is drawn, lines aren't wrapped, so that commands in them can be copied.
        let width = self.total.as_ref().and_then(|_| (self.width)());
        self.screen.println(wrapped(&line, width)).and(ended)
    }

    fn recall(&mut self, record: &Record) {
        drop(self.lines.of(record));
    }

    fn name(&self) -> &'static str {
        "console"
    }
}

/// `text`, wrapped into lines of at most `width` columns. If the terminal wrapped it instead, drawn lines would remain
/// on the screen.
fn wrapped(text: &str, width: Option<usize>) -> String {
    let Some(width) = width.filter(|width| *width > 2 * INDENT.len()) else {
        return text.to_owned();
    };
    let options = text::wrapping(width).subsequent_indent(INDENT);
    // Each line is wrapped separately, because all but the first already have their own indentation.
    let lines = text.lines().map(|line| textwrap::fill(line, &options));
    lines.collect::<Vec<_>>().join("\n")
}

/// A line to draw, which isn't on the screen yet.
fn bar(template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).expect("the templates in this file are well-formed");
    // The bar's own target is hidden, because only the screen may draw the bar.
    ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style)
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;
    use crate::event::RunVerdict;
    use crate::report::fixture;

    fn on(terminal: &InMemoryTerm, width: Width) -> Progress {
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        Progress::new(target, width, false, Detail::Cells)
    }

    #[test]
    fn finished_cells_are_printed_and_running_cells_are_drawn() {
        let terminal = InMemoryTerm::new(100, 100);
        let mut progress = on(&terminal, || Some(100));
        for record in fixture::mixed() {
            progress.on(&record).unwrap();
        }
        let cut_off = fixture::MIXED[6].id();
        let mut running = progress.running.iter();
        let (id, bar) = running.next().unwrap();
        assert_eq!((id, running.next().is_none()), (&cut_off, true));
        assert_eq!(bar.message(), "readiness      1 of 3 agents ready");
        progress.finish_run().unwrap();
        let seen = terminal.contents();
        assert!(
            seen.contains("passed      k8s-1.30-n1-default  in 1m 06s (1/9 cells)"),
            "{seen}"
        );
        assert!(!seen.contains("as plexd-e2e-130-n1-default"), "{seen}");
    }

    #[test]
    fn a_cell_that_waits_has_a_line_until_it_starts() {
        let terminal = InMemoryTerm::new(100, 100);
        let mut progress = on(&terminal, || Some(100));
        let mut records = fixture::mixed().into_iter();
        let mut next = || records.next().unwrap();
        let started = loop {
            let record = next();
            if matches!(record.event, Event::CellStarted { .. }) {
                break record;
            }
            progress.on(&record).unwrap();
        };
        let waiting = |text: &str| Record {
            event: Event::CellWaiting {
                cell: started.event.cell().unwrap().clone(),
                text: text.to_owned(),
            },
            ..started.clone()
        };
        for text in ["waiting for memory", "waiting for processors"] {
            progress.on(&waiting(text)).unwrap();
        }
        let message = |progress: &Progress| {
            let bars = progress.running.values();
            bars.map(ProgressBar::message).collect::<Vec<_>>()
        };
        assert_eq!(message(&progress), ["waiting for processors"]);
        progress.on(&started).unwrap();
        assert_eq!(message(&progress), [""]);
        progress.finish_run().unwrap();
    }

    #[test]
    fn the_name_of_a_command_cannot_control_the_terminal() {
        let terminal = InMemoryTerm::new(100, 100);
        let mut progress = on(&terminal, || Some(100));
        let cell = fixture::MIXED[0].id();
        progress.start_cell(&cell);
        progress.show_phase(&cell, "smoke\u{1B}[2J", "");
        assert_eq!(progress.running[&cell].message().trim_end(), "smoke");
        progress.finish_run().unwrap();
    }

    #[test]
    fn nothing_that_was_drawn_remains_on_a_terminal_of_any_width() {
        let widths: [(u16, Width); 3] = [(60, || Some(60)), (80, || Some(80)), (200, || Some(200))];
        for (columns, width) in widths {
            let terminal = InMemoryTerm::new(200, columns);
            let mut progress = on(&terminal, width);
            for record in fixture::mixed() {
                progress.on(&record).unwrap();
            }
            progress.finish_run().unwrap();
            let seen = terminal.contents();
            // Each printed line starts with a time or continues another line. A drawn line starts with a spinner.
            assert!(
                seen.lines().all(|line| line.starts_with("  ")),
                "{columns}:\n{seen}"
            );
        }
    }

    #[test]
    fn lines_that_are_wider_than_the_terminal_are_wrapped() {
        let line = "\u{1B}[1m    0.0s\u{1B}[0m  note: k8s-1.30-n1-default and k8s-1.33-n1-default";
        let expected = "\u{1B}[1m    0.0s\u{1B}[0m  note: k8s-1.30-n1-default and\n            k8s-1.33-n1-default";
        assert_eq!(wrapped(line, Some(40)), expected);
        assert_eq!(wrapped(line, Some(60)), line);
        assert_eq!(wrapped(line, None), line);
        let own_indentation = "   12.0s  warning: one line\n          and another";
        assert_eq!(wrapped(own_indentation, Some(40)), own_indentation);
    }

    #[test]
    fn the_commands_to_inspect_kept_clusters_are_shown_last_and_not_wrapped() {
        let terminal = InMemoryTerm::new(100, 100);
        let mut progress = on(&terminal, || Some(60));
        let records = fixture::mixed();
        let end = Record {
            event: Event::RunFinished {
                verdict: RunVerdict::ProductFailure,
                duration_ms: 0,
            },
            ..records[0].clone()
        };
        for record in records.iter().chain([&end]) {
            progress.on(record).unwrap();
        }
        let seen = terminal.contents();
        let kept = "kept: k8s-1.34-n1-default\n            kind delete cluster --name plexd-e2e-134-n1-default-x7";
        assert!(seen.ends_with(kept), "{seen}");
    }
}
