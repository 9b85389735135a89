//! Ranks the lines of a log by how well they say what went wrong. The criteria are log levels, words, and the formats
//! of panics and exceptions in Go, Rust, Python and the JVM.

use std::sync::LazyLock;

use regex::{Match, Regex};

use super::select::Line;

/// The regular expression `pattern`, which has to be valid.
pub(super) fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is valid")
}

/// How well a line says what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A word that indicates a problem, at a level below warning.
    Weak,
    /// A word that indicates a problem.
    Word,
    /// An error.
    Error,
    /// The end of a process: a panic, an uncaught exception, a fatal error.
    Fatal,
}

/// A line that says what went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The index of the line.
    pub(super) line: usize,
    pub(super) rank: Rank,
    /// The indexes of the lines that belong to this line, such as the first frames of its stack trace.
    pub(super) context: Vec<usize>,
}

impl Finding {
    /// The text of the line, followed by the next line if that contains the message.
    pub(super) fn sentence(&self, lines: &[Line<'_>]) -> String {
        let line = lines[self.line].plain.trim();
        let next = self.context.first().filter(|_| is_split_panic(line));
        match next {
            Some(next) => format!("{line} {}", lines[*next].plain.trim()),
            None => line.to_owned(),
        }
    }
}

/// The lines from `start` on that say what went wrong. The output of the last process begins at `start`.
pub(super) fn find(lines: &[Line<'_>], start: usize) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut at = start;
    while at < lines.len() {
        let (line, rank, context) = match crash_at(lines, at) {
            Some((line, context)) => (line, Some(Rank::Fatal), context),
            None => (at, rank_of(&lines[at]), Vec::new()),
        };
        let last = context.iter().copied().max();
        at = line.max(last.unwrap_or_default()).max(at) + 1;
        found.extend(rank.map(|rank| Finding {
            line,
            rank,
            context,
        }));
    }
    found
}

/// Finds a panic or an exception that begins at `at`, in one of the formats of Go, Rust, Python and the JVM. Returns
/// the index of the line that says what went wrong, and the indexes of the lines that belong to it.
fn crash_at(lines: &[Line<'_>], at: usize) -> Option<(usize, Vec<usize>)> {
    let line = lines[at].plain.trim_end();
    let has = |index: &usize| lines.get(*index).is_some_and(|line| !line.is_blank());
    if line.starts_with("panic: ") || line.starts_with("fatal error: ") {
        let mut near = (at + 1..lines.len()).take(6);
        let stack = near.find(|index| lines[*index].plain.starts_with("goroutine "));
        let stack = stack.map(|first| (first..first + 3).filter(has).collect());
        return Some((at, stack.unwrap_or_default()));
    }
    if line.contains("panicked at ") {
        let message = Some(at + 1).filter(|next| is_split_panic(line) && has(next));
        return Some((at, message.into_iter().collect()));
    }
    if line.starts_with("Traceback (most recent call last):") {
        let is_last =
            |index: &usize| !lines[*index].is_blank() && !is_indented(&lines[*index].plain);
        let last = (at + 1..lines.len())
            .take(LONGEST_TRACEBACK)
            .find(is_last)?;
        let frame = (last.saturating_sub(2)..last).filter(|index| *index > at);
        return Some((last, std::iter::once(at).chain(frame).collect()));
    }
    if EXCEPTION.is_match(line) {
        let is_frame = |index: &usize| {
            let line = lines.get(*index);
            line.is_some_and(|line| FRAME.is_match(&line.plain))
        };
        let frame = Some(at + 1).filter(is_frame);
        return Some((at, frame.into_iter().collect()));
    }
    None
}

/// How many lines are searched for the last line of a Python traceback.
const LONGEST_TRACEBACK: usize = 300;

/// Whether the message of the panic is on the next line, as it is since Rust 1.73.
fn is_split_panic(line: &str) -> bool {
    line.contains("panicked at ") && line.ends_with(':')
}

fn is_indented(line: &str) -> bool {
    line.starts_with([' ', '\t'])
}

/// A stack frame of the JVM, Python or Go, such as `at io.plexd.Main.run(Main.java:20)` or `/src/errors.go:12 +0x1d`.
/// Names in a stack frame may contain any word, so they say nothing about a problem.
static FRAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"^[ \t]\s*(at |File "|\.\.\. |[^ ]*?\.go:[0-9])"#));

/// The start of an exception of the JVM: `java.io.IOException: why`, possibly after `Exception in thread …` or
/// `Caused by:`.
static EXCEPTION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(Exception in thread |Caused by: |([\w$]+\.)+[\w$]*(Exception|Error)(:|$))")
});

fn rank_of(line: &Line<'_>) -> Option<Rank> {
    if line.is_usage || FRAME.is_match(&line.plain) {
        return None;
    }
    rank(&line.plain)
}

/// How well the line says what went wrong, regardless of other lines; `None` if it doesn't.
pub(super) fn rank(line: &str) -> Option<Rank> {
    let says = || mentions_problem(line);
    match level(line) {
        Some(Level::Fatal) => Some(Rank::Fatal),
        Some(Level::Error) => Some(Rank::Error),
        Some(Level::Warning) | None => says().then_some(Rank::Word),
        Some(Level::Quiet) => says().then_some(Rank::Weak),
    }
}

/// The log level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Quiet,
    Warning,
    Error,
    Fatal,
}

/// The level with this name in common logging libraries.
fn level_named(word: &str) -> Option<Level> {
    match &*word.to_ascii_lowercase() {
        "trace" | "trc" | "debug" | "debu" | "dbg" | "fine" | "info" | "inf" | "information"
        | "notice" | "note" => Some(Level::Quiet),
        "warning" | "warn" | "wrn" => Some(Level::Warning),
        "error" | "err" | "erro" | "eror" | "severe" => Some(Level::Error),
        "fatal" | "fata" | "ftl" | "panic" | "pani" | "dpanic" | "critical" | "crit" | "alert"
        | "emerg" => Some(Level::Fatal),
        _ => None,
    }
}

/// The log level of `line`: under a key, in klog's format, or as a word at the start.
pub(super) fn level(line: &str) -> Option<Level> {
    let words = words(line);
    klog_level(line)
        .or_else(|| words.iter().find_map(|word| level_under_key(line, word)))
        .or_else(|| level_at_start(line, &words))
}

/// klog's format: `E1128 14:48:22.123456       1 main.go:10] …`
static KLOG: LazyLock<Regex> = LazyLock::new(|| pattern(r"^([IWEF])[0-9]{4} .*\]"));

fn klog_level(line: &str) -> Option<Level> {
    match &KLOG.captures(line)?[1] {
        "I" => Some(Level::Quiet),
        "W" => Some(Level::Warning),
        "E" => Some(Level::Error),
        _ => Some(Level::Fatal),
    }
}

/// The level under a key: `level=error`, `"severity": "ERROR"`, or a number as in pino and bunyan.
fn level_under_key(line: &str, word: &Match<'_>) -> Option<Level> {
    let keys = ["level", "lvl", "severity", "levelname"];
    let value = value_after(line, word).filter(|_| is_in(&keys, word.as_str()))?;
    let value = value.trim_start_matches(['"', '\'', '\\']);
    let end = value.find(|c: char| !c.is_ascii_alphanumeric());
    let value = &value[..end.unwrap_or(value.len())];
    match value.parse::<u32>() {
        Ok(60..) => Some(Level::Fatal),
        Ok(50..) => Some(Level::Error),
        Ok(40..) => Some(Level::Warning),
        Ok(10..) => Some(Level::Quiet),
        Ok(_) => None,
        Err(_) => level_named(value),
    }
}

/// How many words, such as the time, the thread and the program's name, may precede the level.
const WORDS_BEFORE_LEVEL: usize = 10;

/// The level at the start: `… ERROR …`, `[error]`, `Error: …`, `plexd: error: …`, with or without tabs.
fn level_at_start(line: &str, words: &[Match<'_>]) -> Option<Level> {
    let mut near = words.iter().take(WORDS_BEFORE_LEVEL).enumerate();
    near.find_map(|(index, word)| {
        let level = level_named(word.as_str())?;
        let before = line[..word.start()].chars().next_back();
        let after = line[word.end()..].chars().next();
        let is_upper = word.as_str().chars().all(|c| c.is_ascii_uppercase());
        let is_apart = before.is_none_or(|c| " \t[<(|".contains(c));
        let is_framed = matches!(
            (before, after),
            (Some('['), Some(']')) | (Some('<'), Some('>')) | (Some('\t'), Some('\t'))
        );
        let is_label = index < 4 && after == Some(':');
        let holds = is_apart && (is_upper || is_framed || is_label);
        (holds && !is_negated(line, words, index)).then_some(level)
    })
}

/// A word of a line: letters, digits and `_`.
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[\p{Alphabetic}\p{N}_]+"));

fn words(line: &str) -> Vec<Match<'_>> {
    WORD.find_iter(line).collect()
}

/// Whether `word` is in `list`, regardless of case.
fn is_in(list: &[&str], word: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn mentions_problem(line: &str) -> bool {
    let words = words(line);
    let mut all = words.iter().enumerate();
    all.any(|(index, word)| is_problem_word(line, word) && !is_negated(line, &words, index))
}

/// Words that indicate a problem.
const PROBLEM_WORDS: [&str; 12] = [
    "error",
    "errors",
    "fatal",
    "panic",
    "panicked",
    "panics",
    "denied",
    "refused",
    "required",
    "invalid",
    "exception",
    "exceptions",
];
/// If a name contains one of these words, as in `error_count`, it is the name of a counter or a setting and doesn't
/// indicate a problem.
const NEUTRAL_PARTS: [&str; 9] = [
    "count", "counts", "total", "rate", "ratio", "budget", "log", "level", "handler",
];

fn is_problem_word(line: &str, word: &Match<'_>) -> bool {
    if word.as_str().contains('_') {
        let mut parts = word.as_str().split('_');
        return parts.clone().any(|part| is_in(&PROBLEM_WORDS, part))
            && !parts.any(|part| is_in(&NEUTRAL_PARTS, part));
    }
    let is_class = ["Error", "Exception", "REFUSED"]
        .iter()
        .any(|end| word.as_str().ends_with(end));
    // `err="…"`, a common format in Go.
    let is_key = word.as_str() == "err" && value_after(line, word).is_some();
    is_class || is_key || is_in(&PROBLEM_WORDS, word.as_str())
}

/// The value of the key `word` after `=` or `:`; `None` if `word` isn't a key.
fn value_after<'l>(line: &'l str, word: &Match<'_>) -> Option<&'l str> {
    let rest = line[word.end()..].trim_start_matches(['"', '\'', '\\', ']']);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':'])?.trim_start();
    // A colon may also end a line that is continued on the next one.
    (!value.is_empty() || rest.starts_with('=')).then_some(value)
}

/// Whether the line negates the word at `index`: `no errors`, `error=<nil>`, `errors: 0`, `as required`.
fn is_negated(line: &str, words: &[Match<'_>], index: usize) -> bool {
    let word = &words[index];
    let near = |other: Option<&Match<'_>>, list: &[&str]| {
        other.is_some_and(|other| is_in(list, other.as_str()))
    };
    let before = index.checked_sub(1).and_then(|index| words.get(index));
    let negations = ["no", "not", "without", "zero", "0", "never", "non"];
    if near(before, &negations) {
        return true;
    }
    let conditions = ["as", "if", "when", "where"];
    if word.as_str().eq_ignore_ascii_case("required") && near(before, &conditions) {
        return true;
    }
    let after = words
        .get(index + 1)
        .filter(|next| next.start() <= word.end() + 1);
    let nouns = [
        "handling",
        "handler",
        "handlers",
        "reporting",
        "budget",
        "free",
        "rate",
        "count",
        "log",
        "logs",
    ];
    let is_attribute = near(after, &nouns) && !line[word.end()..].starts_with([':', '=']);
    is_attribute || value_after(line, word).is_some_and(is_empty_value)
}

/// Whether the value of a key is empty: missing, or the zero value of its language.
fn is_empty_value(value: &str) -> bool {
    let value = value.trim_start_matches('\\');
    let empty = [
        "<nil>", "<none>", "nil", "null", "none", "None", "false", "ok", "\"\"", "''", "\\\"\\\"",
        "{}", "[]", "0",
    ];
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || "_.-".contains(c));
    let is_known = empty
        .iter()
        .any(|empty| value.strip_prefix(empty).is_some_and(ends));
    is_known || value.is_empty() || value.starts_with([',', '}'])
}
