//! Selects lines within a budget: the most important ones first, then sorted back into their order.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use super::telling::{self, Rank, Telling};
use super::usage;
use super::written::{Log, Written, gap, gap_size};

/// A color escape sequence, which may be cut off.
static COLOR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1B\[[0-9;]*[A-Za-z]?").expect("the pattern is valid"));

/// A line that could be quoted.
pub(super) struct Line<'l> {
    text: &'l str,
    /// The line without color escape sequences.
    pub(super) plain: Cow<'l, str>,
    /// Its number in the whole log, starting at 0.
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

/// How many lines of each process's start are quoted.
const FIRST_LINES: usize = 2;
/// How many processes have their start quoted: the last ones.
const BEGINNINGS: usize = 5;

/// An excerpt of `log` of at most `budget` lines, including the marks for gaps.
pub fn excerpt(log: &Log, budget: usize) -> Vec<String> {
    match &log.problem {
        Some(problem) => vec![problem.clone()],
        None => Quote::of(log).fit(budget),
    }
}

/// A shorter excerpt of an excerpt, of at most `budget` lines.
pub fn shortened(lines: &[String], budget: usize) -> Vec<String> {
    if lines.len() <= budget {
        return lines.to_vec();
    }
    Quote::again(lines).fit(budget)
}

/// The lines of a log that can be quoted.
pub(super) struct Quote<'l> {
    lines: Vec<Line<'l>>,
    /// How many lines the log has.
    total: usize,
    telling: Vec<Telling>,
    /// The indexes of the first lines of each process, the last process first.
    beginnings: Vec<usize>,
}

impl<'l> Quote<'l> {
    /// The lines of `log`.
    pub(super) fn of(log: &'l Log) -> Self {
        let mut quote = Self::empty();
        let mut beginnings = Vec::new();
        for process in &log.processes {
            let place = quote.lines.len();
            quote.add(process);
            let new = quote.lines.iter().enumerate().skip(place);
            let first = new
                .filter(|(_, line)| line.is_quotable())
                .map(|(place, _)| place);
            beginnings.push(first.take(FIRST_LINES).collect::<Vec<_>>());
        }
        let last = beginnings.into_iter().rev().take(BEGINNINGS);
        quote.beginnings = last.flatten().collect();
        quote
    }

    /// The lines of an excerpt, in which existing gaps are kept.
    fn again(lines: &'l [String]) -> Self {
        let mut quote = Self::empty();
        for text in lines {
            match gap_size(text) {
                Some(size) => quote.total = quote.total.saturating_add(size),
                None => quote.push(text, false),
            }
        }
        quote.telling = telling::find(&quote.lines);
        quote
    }

    const fn empty() -> Self {
        Self {
            lines: Vec::new(),
            total: 0,
            telling: Vec::new(),
            beginnings: Vec::new(),
        }
    }

    fn push(&mut self, text: &'l str, is_usage: bool) {
        self.lines.push(Line {
            text,
            plain: COLOR.replace_all(text, ""),
            number: self.total,
            is_usage,
        });
        self.total += 1;
    }

    fn add(&mut self, process: &'l Written) {
        let place = self.lines.len();
        let plain = process.lines().map(|line| COLOR.replace_all(line, ""));
        let plain: Vec<Cow<'_, str>> = plain.collect();
        let plain: Vec<&str> = plain.iter().map(AsRef::as_ref).collect();
        let usage = usage::find(&plain);
        for (number, (text, is_usage)) in process.lines().zip(usage).enumerate() {
            if number == process.head.len() {
                self.total += process.skipped;
            }
            self.push(text, is_usage);
        }
        let found = telling::find(&self.lines[place..]);
        self.telling
            .extend(found.into_iter().map(|one| one.moved(place)));
    }

    /// The line that best says what went wrong: the most severe one, and the last one of several.
    pub(super) fn reason(&self) -> Option<String> {
        let worst = self.telling.iter().filter(|one| one.rank > Rank::Weak);
        let worst = worst.max_by_key(|one| (one.rank, one.line))?;
        Some(worst.sentence(&self.lines))
    }

    /// The lines that aren't part of a usage text, without colors.
    pub(super) fn spoken(&self) -> Vec<String> {
        let lines = self.lines.iter().filter(|line| line.is_quotable());
        lines.map(|line| line.plain.trim().to_owned()).collect()
    }

    /// The last line that isn't part of a usage text.
    pub(super) fn last_words(&self) -> Option<&str> {
        let line = self.lines.iter().rev().find(|line| line.is_quotable())?;
        Some(line.plain.trim())
    }

    /// The lines that say what went wrong, the most severe first. Lines that repeat an earlier one come last.
    fn by_importance(&self) -> Vec<&Telling> {
        let mut sorted: Vec<&Telling> = self.telling.iter().collect();
        sorted.sort_by_key(|one| std::cmp::Reverse((one.rank, one.line)));
        let mut shapes = HashSet::new();
        let is_new = |one: &&Telling| {
            let text = &self.lines[one.line].plain;
            let shape: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
            shapes.insert(shape)
        };
        let (mut new, old): (Vec<_>, Vec<_>) = sorted.into_iter().partition(is_new);
        new.extend(old);
        new
    }

    fn fit(&self, budget: usize) -> Vec<String> {
        let mut chosen = Chosen::new(self, budget);
        let important = self.by_importance();
        let (first, others) = important.split_at(important.len().min(1));
        for one in first {
            chosen.add_all(one);
        }
        self.beginnings.iter().for_each(|place| chosen.add(*place));
        // The remaining budget is used for the end of the log.
        for one in others {
            if chosen.length() < budget * 3 / 5 {
                chosen.add_all(one);
            }
        }
        for (place, line) in self.lines.iter().enumerate().rev() {
            if chosen.length() >= budget {
                break;
            }
            if line.is_quotable() {
                chosen.add(place);
            }
        }
        chosen.lines()
    }
}

/// The indexes of the selected lines.
struct Chosen<'q> {
    quote: &'q Quote<'q>,
    budget: usize,
    places: BTreeSet<usize>,
}

impl<'q> Chosen<'q> {
    const fn new(quote: &'q Quote<'q>, budget: usize) -> Self {
        let places = BTreeSet::new();
        Self {
            quote,
            budget,
            places,
        }
    }

    fn add_all(&mut self, telling: &Telling) {
        self.add(telling.line);
        telling.with.iter().for_each(|place| self.add(*place));
    }

    /// Selects a line if the budget has room for it and for the marks of the gaps next to it.
    fn add(&mut self, place: usize) {
        let is_new = self.places.insert(place);
        if is_new && self.length() > self.budget {
            self.places.remove(&place);
        }
    }

    fn length(&self) -> usize {
        self.places.len() + self.gaps().count()
    }

    /// The gaps, as ranges of line numbers.
    fn gaps(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let numbers = self
            .places
            .iter()
            .map(|place| self.quote.lines[*place].number);
        let ends = numbers.clone().chain([self.quote.total]);
        let starts = std::iter::once(0).chain(numbers.map(|number| number + 1));
        starts
            .zip(ends)
            .map(|(start, end)| start..end)
            .filter(|gap| !gap.is_empty())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<(usize, String)> = self
            .gaps()
            .map(|gap| (gap.start, self.mark(&gap)))
            .collect();
        lines.extend(self.places.iter().map(|place| {
            let line = &self.quote.lines[*place];
            (line.number, line.text.to_owned())
        }));
        lines.sort();
        lines
            .into_iter()
            .map(|(_, text)| text)
            .take(self.budget)
            .collect()
    }

    /// The mark for a gap. A gap of a single line is shown as the line itself, which takes no more space than the mark.
    fn mark(&self, missing: &std::ops::Range<usize>) -> String {
        let lines = &self.quote.lines;
        let place = lines.binary_search_by_key(&missing.start, |line| line.number);
        match place {
            Ok(place) if missing.len() == 1 && !lines[place].is_usage => {
                lines[place].text.to_owned()
            }
            _ => gap(missing.len()),
        }
    }
}
