//! Ranks the lines of a log by how well they say what went wrong: by log level, by words, and by the formats of panics
//! and exceptions in Go, Rust, Python and the JVM.

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
pub(super) struct Telling {
    /// Its index.
    pub(super) line: usize,
    pub(super) rank: Rank,
    /// The lines that belong to it, such as the first frames of its stack trace.
    pub(super) with: Vec<usize>,
}

impl Telling {
    const fn new(line: usize, rank: Rank) -> Self {
        let with = Vec::new();
        Self { line, rank, with }
    }

    const fn fatal(line: usize, with: Vec<usize>) -> Self {
        let rank = Rank::Fatal;
        Self { line, rank, with }
    }

    /// The same with every index increased by `by`.
    pub(super) fn moved(mut self, by: usize) -> Self {
        self.line += by;
        self.with.iter_mut().for_each(|place| *place += by);
        self
    }

    /// The text of the line, together with the next line if the message is there.
    pub(super) fn sentence(&self, lines: &[Line<'_>]) -> String {
        let line = lines[self.line].plain.trim();
        let next = self.with.first().filter(|_| is_split_panic(line));
        match next {
            Some(next) => format!("{line} {}", lines[*next].plain.trim()),
            None => line.to_owned(),
        }
    }
}

/// The lines of one process that say what went wrong.
pub(super) fn find(lines: &[Line<'_>]) -> Vec<Telling> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let next = of_form(lines, at).or_else(|| of_line(&lines[at]).map(|r| Telling::new(at, r)));
        at += 1;
        if let Some(telling) = next {
            let last = telling.with.iter().copied().max();
            at = at.max(telling.line.max(last.unwrap_or_default()) + 1);
            found.push(telling);
        }
    }
    found
}

/// The panic or exception that begins at `at` in one of the formats of Go, Rust, Python and the JVM.
fn of_form(lines: &[Line<'_>], at: usize) -> Option<Telling> {
    let line = lines[at].plain.trim_end();
    let has = |place: &usize| lines.get(*place).is_some_and(|line| !line.is_blank());
    if line.starts_with("panic: ") || line.starts_with("fatal error: ") {
        let mut near = (at + 1..lines.len()).take(6);
        let stack = near.find(|place| lines[*place].plain.starts_with("goroutine "));
        let stack = stack.map(|first| (first..first + 3).filter(has).collect());
        return Some(Telling::fatal(at, stack.unwrap_or_default()));
    }
    if line.contains("panicked at ") {
        let message = Some(at + 1).filter(|next| is_split_panic(line) && has(next));
        return Some(Telling::fatal(at, message.into_iter().collect()));
    }
    if line.starts_with("Traceback (most recent call last):") {
        let is_last =
            |place: &usize| !lines[*place].is_blank() && !is_indented(&lines[*place].plain);
        let last = (at + 1..lines.len())
            .take(LONGEST_TRACEBACK)
            .find(is_last)?;
        let frame = (last.saturating_sub(2)..last).filter(|place| *place > at);
        return Some(Telling::fatal(
            last,
            std::iter::once(at).chain(frame).collect(),
        ));
    }
    if is_exception(line) {
        let is_frame = |place: &usize| lines.get(*place).is_some_and(|line| is_frame(&line.plain));
        let frame = Some(at + 1).filter(is_frame);
        return Some(Telling::fatal(at, frame.into_iter().collect()));
    }
    None
}

/// How many lines of a Python traceback are searched for its last line.
const LONGEST_TRACEBACK: usize = 300;

/// Since Rust 1.73, the message of a panic is on the next line.
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
    is_indented(line) && (starts.iter().any(|start| text.starts_with(start)) || is_go_place(text))
}

/// Whether the text is a location such as `/src/errors.go:12 +0x1d`.
fn is_go_place(text: &str) -> bool {
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

fn of_line(line: &Line<'_>) -> Option<Rank> {
    if line.is_usage || is_frame(&line.plain) {
        return None;
    }
    rank(&line.plain)
}

/// How well the line by itself explains a failure; `None` if it doesn't.
pub(super) fn rank(line: &str) -> Option<Rank> {
    let says = || says_trouble(line);
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
    level_of_klog(line)
        .or_else(|| words.iter().find_map(|word| level_under_key(line, word)))
        .or_else(|| level_at_start(line, &words))
}

/// The level in klog's format: `E1128 14:48:22.123456       1 main.go:10] …`
fn level_of_klog(line: &str) -> Option<Level> {
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

/// How many words the time, the thread and the program's name may take before the level.
const WORDS_BEFORE_LEVEL: usize = 10;

/// The level at the start: `… ERROR …`, `[error]`, `Error: …`, `plexd: error: …`, with or without tabs.
fn level_at_start(line: &str, words: &[Word<'_>]) -> Option<Level> {
    let mut near = words.iter().take(WORDS_BEFORE_LEVEL).enumerate();
    near.find_map(|(place, word)| {
        let level = level_named(word.text)?;
        let before = line[..word.start].chars().next_back();
        let after = line[word.end..].chars().next();
        let is_upper = word.text.chars().all(|c| c.is_ascii_uppercase());
        let is_apart = before.is_none_or(|c| " \t[<(|".contains(c));
        let is_framed = matches!(
            (before, after),
            (Some('['), Some(']')) | (Some('<'), Some('>')) | (Some('\t'), Some('\t'))
        );
        let is_label = place < 4 && after == Some(':');
        let holds = is_apart && (is_upper || is_framed || is_label);
        (holds && !is_denied(line, words, place)).then_some(level)
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
    for (place, character) in line.char_indices().chain([(line.len(), ' ')]) {
        match (start, is_word(character)) {
            (None, true) => start = Some(place),
            (Some(from), false) => {
                words.push(Word {
                    text: &line[from..place],
                    start: from,
                    end: place,
                });
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn says_trouble(line: &str) -> bool {
    let words = words(line);
    let is_trouble =
        |place: &usize| is_trouble(line, &words[*place]) && !is_denied(line, &words, *place);
    (0..words.len()).any(|place| is_trouble(&place))
}

/// Words that indicate a problem.
const TROUBLE: [&str; 12] = [
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
/// Parts of the names of counters and settings, which don't indicate a problem.
const COUNTS: [&str; 9] = [
    "count", "counts", "total", "rate", "ratio", "budget", "log", "level", "handler",
];

fn is_trouble(line: &str, word: &Word<'_>) -> bool {
    let is_in = |list: &[&str], part: &str| list.iter().any(|word| word.eq_ignore_ascii_case(part));
    if word.text.contains('_') {
        let mut parts = word.text.split('_');
        return parts.clone().any(|part| is_in(&TROUBLE, part))
            && !parts.any(|part| is_in(&COUNTS, part));
    }
    let is_class = ["Error", "Exception", "REFUSED"]
        .iter()
        .any(|end| word.text.ends_with(end));
    // `err="…"`, a common format in Go.
    let is_key = word.text == "err" && value_after(line, word).is_some();
    is_class || is_key || is_in(&TROUBLE, word.text)
}

/// The value of the key `word` after `=` or `:`; `None` if `word` isn't a key.
fn value_after<'l>(line: &'l str, word: &Word<'_>) -> Option<&'l str> {
    let rest = line[word.end..].trim_start_matches(['"', '\'', '\\', ']']);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':'])?.trim_start();
    // A colon may also end a line that is continued on the next one.
    (!value.is_empty() || rest.starts_with('=')).then_some(value)
}

/// Whether the line negates the word at `place`: `no errors`, `error=<nil>`, `errors: 0`, `as required`.
fn is_denied(line: &str, words: &[Word<'_>], place: usize) -> bool {
    let word = &words[place];
    let near = |other: Option<&Word<'_>>, list: &[&str]| {
        other.is_some_and(|other| {
            list.iter()
                .any(|word| word.eq_ignore_ascii_case(other.text))
        })
    };
    let before = place.checked_sub(1).and_then(|place| words.get(place));
    let negations = ["no", "not", "without", "zero", "0", "never", "non"];
    if near(before, &negations) {
        return true;
    }
    let is_wish = ["as", "if", "when", "where"];
    if word.text.eq_ignore_ascii_case("required") && near(before, &is_wish) {
        return true;
    }
    let after = words
        .get(place + 1)
        .filter(|next| next.start <= word.end + 1);
    let things = [
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
    let is_thing = near(after, &things) && !line[word.end..].starts_with([':', '=']);
    is_thing || value_after(line, word).is_some_and(is_nothing)
}

/// Whether the value of a key is empty: missing, or the zero value of its language.
fn is_nothing(value: &str) -> bool {
    let value = value.trim_start_matches('\\');
    let nothing = [
        "<nil>", "<none>", "nil", "null", "none", "None", "false", "ok", "\"\"", "''", "\\\"\\\"",
        "{}", "[]", "0",
    ];
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || "_.-".contains(c));
    let is_zero = nothing
        .iter()
        .any(|zero| value.strip_prefix(zero).is_some_and(ends));
    is_zero || value.is_empty() || value.starts_with([',', '}'])
}
