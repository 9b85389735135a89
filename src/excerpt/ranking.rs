//! Ranks the lines of a log by how well they say what went wrong. The criteria are log levels, words, and the formats
//! of panics and exceptions in Go, Rust, Python and the JVM.

use super::select::Line;

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
    /// The indexes of the lines that belong to it, such as the first frames of its stack trace.
    pub(super) context: Vec<usize>,
}

impl Finding {
    const fn new(line: usize, rank: Rank) -> Self {
        Self {
            line,
            rank,
            context: Vec::new(),
        }
    }

    const fn fatal(line: usize, context: Vec<usize>) -> Self {
        Self {
            line,
            rank: Rank::Fatal,
            context,
        }
    }

    /// The same finding with all indexes increased by `by`.
    pub(super) fn shifted(mut self, by: usize) -> Self {
        self.line += by;
        self.context.iter_mut().for_each(|index| *index += by);
        self
    }

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

/// The lines of one process that say what went wrong.
pub(super) fn find(lines: &[Line<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let finding = crash_at(lines, at).or_else(|| Some(Finding::new(at, rank_of(&lines[at])?)));
        at += 1;
        if let Some(finding) = finding {
            let last = finding.context.iter().copied().max();
            at = at.max(finding.line.max(last.unwrap_or_default()) + 1);
            found.push(finding);
        }
    }
    found
}

/// The panic or exception that begins at `at` in one of the formats of Go, Rust, Python and the JVM.
fn crash_at(lines: &[Line<'_>], at: usize) -> Option<Finding> {
    let line = lines[at].plain.trim_end();
    let has = |index: &usize| lines.get(*index).is_some_and(|line| !line.is_blank());
    if line.starts_with("panic: ") || line.starts_with("fatal error: ") {
        let mut near = (at + 1..lines.len()).take(6);
        let stack = near.find(|index| lines[*index].plain.starts_with("goroutine "));
        let stack = stack.map(|first| (first..first + 3).filter(has).collect());
        return Some(Finding::fatal(at, stack.unwrap_or_default()));
    }
    if line.contains("panicked at ") {
        let message = Some(at + 1).filter(|next| is_split_panic(line) && has(next));
        return Some(Finding::fatal(at, message.into_iter().collect()));
    }
    if line.starts_with("Traceback (most recent call last):") {
        let is_last =
            |index: &usize| !lines[*index].is_blank() && !is_indented(&lines[*index].plain);
        let last = (at + 1..lines.len())
            .take(LONGEST_TRACEBACK)
            .find(is_last)?;
        let frame = (last.saturating_sub(2)..last).filter(|index| *index > at);
        return Some(Finding::fatal(
            last,
            std::iter::once(at).chain(frame).collect(),
        ));
    }
    if is_exception(line) {
        let is_frame = |index: &usize| lines.get(*index).is_some_and(|line| is_frame(&line.plain));
        let frame = Some(at + 1).filter(is_frame);
        return Some(Finding::fatal(at, frame.into_iter().collect()));
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

/// Whether the line is a stack frame, whose names may contain any word.
fn is_frame(line: &str) -> bool {
    let text = line.trim_start();
    let starts = ["at ", "File \"", "... "];
    is_indented(line)
        && (starts.iter().any(|start| text.starts_with(start)) || is_go_location(text))
}

/// Whether the text is a location such as `/src/errors.go:12 +0x1d`.
fn is_go_location(text: &str) -> bool {
    text.split_once(".go:").is_some_and(|(path, line)| {
        !path.contains(' ') && line.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Whether the line starts an exception of the JVM: `java.io.IOException: why`, possibly after `Exception in thread …`
/// or `Caused by:`.
fn is_exception(line: &str) -> bool {
    if line.starts_with("Exception in thread ") || line.starts_with("Caused by: ") {
        return true;
    }
    let class = line.split(':').next().unwrap_or_default();
    let is_name = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || "_$".contains(c))
    };
    class.contains('.')
        && class.split('.').all(is_name)
        && (class.ends_with("Exception") || class.ends_with("Error"))
}

fn rank_of(line: &Line<'_>) -> Option<Rank> {
    if line.is_usage || is_frame(&line.plain) {
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

/// The names of levels in common logging libraries.
const LEVELS: [(&str, Level); 29] = [
    ("trace", Level::Quiet),
    ("trc", Level::Quiet),
    ("debug", Level::Quiet),
    ("debu", Level::Quiet),
    ("dbg", Level::Quiet),
    ("fine", Level::Quiet),
    ("info", Level::Quiet),
    ("inf", Level::Quiet),
    ("information", Level::Quiet),
    ("notice", Level::Quiet),
    ("note", Level::Quiet),
    ("warning", Level::Warning),
    ("warn", Level::Warning),
    ("wrn", Level::Warning),
    ("error", Level::Error),
    ("err", Level::Error),
    ("erro", Level::Error),
    ("eror", Level::Error),
    ("severe", Level::Error),
    ("fatal", Level::Fatal),
    ("fata", Level::Fatal),
    ("ftl", Level::Fatal),
    ("panic", Level::Fatal),
    ("pani", Level::Fatal),
    ("dpanic", Level::Fatal),
    ("critical", Level::Fatal),
    ("crit", Level::Fatal),
    ("alert", Level::Fatal),
    ("emerg", Level::Fatal),
];

fn level_named(word: &str) -> Option<Level> {
    let known = |name: &&str| name.eq_ignore_ascii_case(word);
    LEVELS
        .iter()
        .find(|(name, _)| known(name))
        .map(|(_, level)| *level)
}

/// The log level of `line`: under a key, in klog's format, or as a word at the start.
pub(super) fn level(line: &str) -> Option<Level> {
    let words = words(line);
    klog_level(line)
        .or_else(|| words.iter().find_map(|word| level_under_key(line, word)))
        .or_else(|| level_at_start(line, &words))
}

/// The level in klog's format: `E1128 14:48:22.123456       1 main.go:10] …`
fn klog_level(line: &str) -> Option<Level> {
    let mut bytes = line.bytes();
    let level = match bytes.next()? {
        b'I' => Level::Quiet,
        b'W' => Level::Warning,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        _ => return None,
    };
    let is_date = bytes.by_ref().take(4).filter(u8::is_ascii_digit).count() == 4;
    (is_date && bytes.next() == Some(b' ') && line.contains(']')).then_some(level)
}

/// The level under a key: `level=error`, `"severity": "ERROR"`, or the numbers of pino and bunyan.
fn level_under_key(line: &str, word: &Word<'_>) -> Option<Level> {
    let keys = ["level", "lvl", "severity", "levelname"];
    let is_key = keys.iter().any(|key| key.eq_ignore_ascii_case(word.text));
    let value = value_after(line, word).filter(|_| is_key)?;
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
fn level_at_start(line: &str, words: &[Word<'_>]) -> Option<Level> {
    let mut near = words.iter().take(WORDS_BEFORE_LEVEL).enumerate();
    near.find_map(|(index, word)| {
        let level = level_named(word.text)?;
        let before = line[..word.start].chars().next_back();
        let after = line[word.end..].chars().next();
        let is_upper = word.text.chars().all(|c| c.is_ascii_uppercase());
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
struct Word<'l> {
    text: &'l str,
    start: usize,
    end: usize,
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for (index, character) in line.char_indices().chain([(line.len(), ' ')]) {
        match (start, is_word(character)) {
            (None, true) => start = Some(index),
            (Some(from), false) => {
                words.push(Word {
                    text: &line[from..index],
                    start: from,
                    end: index,
                });
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn mentions_problem(line: &str) -> bool {
    let words = words(line);
    let is_problem_word =
        |index: &usize| is_problem_word(line, &words[*index]) && !is_negated(line, &words, *index);
    (0..words.len()).any(|index| is_problem_word(&index))
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
/// Parts of names of counters and settings that don't indicate a problem, such as `error_count`.
const NEUTRAL_PARTS: [&str; 9] = [
    "count", "counts", "total", "rate", "ratio", "budget", "log", "level", "handler",
];

fn is_problem_word(line: &str, word: &Word<'_>) -> bool {
    let is_in = |list: &[&str], part: &str| list.iter().any(|word| word.eq_ignore_ascii_case(part));
    if word.text.contains('_') {
        let mut parts = word.text.split('_');
        return parts.clone().any(|part| is_in(&PROBLEM_WORDS, part))
            && !parts.any(|part| is_in(&NEUTRAL_PARTS, part));
    }
    let is_class = ["Error", "Exception", "REFUSED"]
        .iter()
        .any(|end| word.text.ends_with(end));
    // `err="…"`, a common format in Go.
    let is_key = word.text == "err" && value_after(line, word).is_some();
    is_class || is_key || is_in(&PROBLEM_WORDS, word.text)
}

/// The value of the key `word` after `=` or `:`; `None` if `word` isn't a key.
fn value_after<'l>(line: &'l str, word: &Word<'_>) -> Option<&'l str> {
    let rest = line[word.end..].trim_start_matches(['"', '\'', '\\', ']']);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':'])?.trim_start();
    // A colon may also end a line that is continued on the next one.
    (!value.is_empty() || rest.starts_with('=')).then_some(value)
}

/// Whether the line negates the word at `index`: `no errors`, `error=<nil>`, `errors: 0`, `as required`.
fn is_negated(line: &str, words: &[Word<'_>], index: usize) -> bool {
    let word = &words[index];
    let near = |other: Option<&Word<'_>>, list: &[&str]| {
        other.is_some_and(|other| {
            list.iter()
                .any(|word| word.eq_ignore_ascii_case(other.text))
        })
    };
    let before = index.checked_sub(1).and_then(|index| words.get(index));
    let negations = ["no", "not", "without", "zero", "0", "never", "non"];
    if near(before, &negations) {
        return true;
    }
    let conditions = ["as", "if", "when", "where"];
    if word.text.eq_ignore_ascii_case("required") && near(before, &conditions) {
        return true;
    }
    let after = words
        .get(index + 1)
        .filter(|next| next.start <= word.end + 1);
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
    let is_attribute = near(after, &nouns) && !line[word.end..].starts_with([':', '=']);
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
