//! Selects lines within a budget: the most important lines are chosen first, and returned in their original order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use super::output::{Log, ProcessOutput, gap_mark, gap_size};
use super::ranking::{self, Finding, Rank};
use super::usage;

/// A color escape sequence, which may be cut off.
static COLOR: LazyLock<Regex> = LazyLock::new(|| ranking::pattern(r"\x1B\[[0-9;]*[A-Za-z]?"));

/// A line that could be quoted.
pub(super) struct Line<'l> {
    text: &'l str,
    /// The line without color escape sequences.
    pub(super) plain: Cow<'l, str>,
    /// The line's number in the whole log, starting at 0.
    number: usize,
    pub(super) is_usage: bool,
}

impl Line<'_> {
    pub(super) fn is_blank(&self) -> bool {
        self.plain.trim().is_empty()
    }

    fn is_quotable(&self) -> bool {
        !self.is_usage && !self.is_blank()
    }
}

/// How many lines of the start of each process are quoted.
const FIRST_LINES: usize = 2;
/// The maximum number of processes whose start is quoted. The last processes are preferred.
const BEGINNINGS: usize = 5;

/// An excerpt of `log` of at most `budget` lines, including the marks for gaps.
pub fn excerpt(log: &Log, budget: usize) -> Vec<String> {
    match &log.problem {
        Some(problem) => vec![problem.clone()],
        None => Candidates::of(log).fit(budget),
    }
}

/// Shortens an excerpt to at most `budget` lines.
pub fn shortened(lines: &[String], budget: usize) -> Vec<String> {
    if lines.len() <= budget {
        return lines.to_vec();
    }
    Candidates::of_excerpt(lines).fit(budget)
}

/// The line that best says what went wrong, without colors: the last of the most severe lines.
pub fn reason(log: &Log) -> Option<String> {
    let candidates = Candidates::of(log);
    let findings = candidates.findings.iter();
    let worst = findings.filter(|one| one.rank > Rank::Weak);
    let worst = worst.max_by_key(|one| (one.rank, one.line))?;
    Some(worst.sentence(&candidates.lines))
}

/// The lines of `log` without colors, usage texts and blank lines.
pub fn plain_lines(log: &Log) -> Vec<String> {
    let candidates = Candidates::of(log);
    let lines = candidates.lines.iter().filter(|line| line.is_quotable());
    lines.map(|line| line.plain.trim().to_owned()).collect()
}

/// The last line of `log` that isn't part of a usage text, without colors.
pub fn last_line(log: &Log) -> Option<String> {
    plain_lines(log).pop()
}

/// The lines of a log that can be quoted.
#[derive(Default)]
struct Candidates<'l> {
    lines: Vec<Line<'l>>,
    /// How many lines the log has.
    total: usize,
    findings: Vec<Finding>,
    /// The indexes of the first lines of each process.
    beginnings: Vec<Vec<usize>>,
}

impl<'l> Candidates<'l> {
    /// The lines of `log`.
    fn of(log: &'l Log) -> Self {
        let mut candidates = Self::default();
        for process in &log.processes {
            candidates.add(process);
        }
        candidates
    }

    /// The lines of an excerpt. The gaps that it already has are kept.
    fn of_excerpt(lines: &'l [String]) -> Self {
        let mut candidates = Self::default();
        for text in lines {
            match gap_size(text) {
                Some(size) => candidates.total += size,
                None => candidates.push(text),
            }
        }
        candidates.findings = ranking::find(&candidates.lines, 0);
        candidates
    }

    fn push(&mut self, text: &'l str) {
        self.lines.push(Line {
            text,
            plain: COLOR.replace_all(text, ""),
            number: self.total,
            is_usage: false,
        });
        self.total += 1;
    }

    fn add(&mut self, process: &'l ProcessOutput) {
        let index = self.lines.len();
        for (number, text) in process.lines().enumerate() {
            if number == process.head.len() {
                self.total += process.skipped;
            }
            self.push(text);
        }
        let new = &mut self.lines[index..];
        let plain: Vec<&str> = new.iter().map(|line| &*line.plain).collect();
        let usage = usage::find(&plain);
        for (line, is_usage) in new.iter_mut().zip(usage) {
            line.is_usage = is_usage;
        }
        self.findings.extend(ranking::find(&self.lines, index));
        let quotable = (index..self.lines.len()).filter(|index| self.lines[*index].is_quotable());
        let first = quotable.take(FIRST_LINES).collect();
        self.beginnings.push(first);
    }

    /// The lines that say what went wrong, the most severe first. Lines that differ from an earlier one only in digits
    /// come last.
    fn by_importance(&self) -> Vec<&Finding> {
        let mut sorted: Vec<&Finding> = self.findings.iter().collect();
        sorted.sort_by_key(|one| std::cmp::Reverse((one.rank, one.line)));
        let mut shapes = HashSet::new();
        let is_new = |one: &&Finding| {
            let text = &self.lines[one.line].plain;
            let shape: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
            shapes.insert(shape)
        };
        let (mut new, repeated): (Vec<_>, Vec<_>) = sorted.into_iter().partition(is_new);
        new.extend(repeated);
        new
    }

    fn fit(&self, budget: usize) -> Vec<String> {
        let mut chosen = Chosen {
            candidates: self,
            budget,
            indexes: BTreeSet::new(),
        };
        let important = self.by_importance();
        let (first, others) = important.split_at(important.len().min(1));
        for one in first {
            chosen.add_all(one);
        }
        let last = self.beginnings.iter().rev().take(BEGINNINGS);
        last.flatten().for_each(|index| chosen.add(*index));
        // The remaining budget is used for the end of the log.
        for one in others {
            if chosen.length() < budget * 3 / 5 {
                chosen.add_all(one);
            }
        }
        for (index, line) in self.lines.iter().enumerate().rev() {
            if chosen.length() >= budget {
                break;
            }
            if line.is_quotable() {
                chosen.add(index);
            }
        }
        chosen.lines()
    }
}

/// The indexes of the selected lines.
struct Chosen<'q> {
    candidates: &'q Candidates<'q>,
    budget: usize,
    indexes: BTreeSet<usize>,
}

impl Chosen<'_> {
    fn add_all(&mut self, finding: &Finding) {
        self.add(finding.line);
        finding.context.iter().for_each(|index| self.add(*index));
    }

    /// Selects a line if the budget has room for it and for the marks of the gaps next to it.
    fn add(&mut self, index: usize) {
        let is_new = self.indexes.insert(index);
        if is_new && self.length() > self.budget {
            self.indexes.remove(&index);
        }
    }

    fn length(&self) -> usize {
        self.indexes.len() + self.gaps().count()
    }

    /// The gaps, as ranges of line numbers.
    fn gaps(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let numbers = self
            .indexes
            .iter()
            .map(|index| self.candidates.lines[*index].number);
        let ends = numbers.clone().chain([self.candidates.total]);
        let starts = std::iter::once(0).chain(numbers.map(|number| number + 1));
        starts
            .zip(ends)
            .map(|(start, end)| start..end)
            .filter(|gap| !gap.is_empty())
    }

    fn lines(&self) -> Vec<String> {
        let marks = self.gaps().map(|gap| (gap.start, self.mark(&gap)));
        let chosen = self.indexes.iter().map(|index| {
            let line = &self.candidates.lines[*index];
            (line.number, line.text.to_owned())
        });
        let lines: BTreeMap<usize, String> = marks.chain(chosen).collect();
        lines.into_values().take(self.budget).collect()
    }

    /// The mark for a gap. A gap of one line is shown as the line itself, which takes no more space than the mark.
    fn mark(&self, missing: &std::ops::Range<usize>) -> String {
        let lines = &self.candidates.lines;
        let index = lines.binary_search_by_key(&missing.start, |line| line.number);
        match index {
            Ok(index) if missing.len() == 1 && !lines[index].is_usage => {
                lines[index].text.to_owned()
            }
            _ => gap_mark(missing.len()),
        }
    }
}
