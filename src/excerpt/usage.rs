//! The usage texts that command-line libraries print next to an error: those of Go's flag and cobra, clap, argparse,
//! click, picocli and commons-cli.

use std::sync::LazyLock;

use regex::Regex;

use super::ranking::{self, pattern};

/// The possible beginnings of the first line of a usage text.
const STARTS: [&str; 3] = ["usage:", "Usage:", "USAGE:"];
/// The maximum number of lines of a description between the synopsis and the options.
const LONGEST_DESCRIPTION: usize = 6;

/// Which of `lines`, without colors, belong to a usage text.
pub(super) fn find(lines: &[&str]) -> Vec<bool> {
    let mut found = vec![false; lines.len()];
    let mut at = 0;
    while at < lines.len() {
        if !is_start(&lines[at..]) {
            at += 1;
            continue;
        }
        let end = at + 1 + length(&lines[at + 1..]);
        found[at..end].fill(true);
        at = end;
    }
    found
}

fn is_start(lines: &[&str]) -> bool {
    let line = lines[0].trim_end();
    if line.starts_with("Usage of ") && line.ends_with(':') {
        return true;
    }
    let Some(rest) = STARTS.iter().find_map(|start| line.strip_prefix(start)) else {
        return false;
    };
    let is_synopsis = ["[", "<", " -"].iter().any(|word| rest.contains(word));
    let next = || lines.iter().skip(1).take(3);
    rest.is_empty() || is_synopsis || next().any(|line| OPTION.is_match(line) || is_header(line))
}

/// How many lines at the start of `lines` belong to a usage text. `lines` begins after the first line of that text.
fn length(lines: &[&str]) -> usize {
    let belongs = |at: usize| {
        let line = lines[at];
        is_indented(line)
            || is_header(line)
            || HINT.is_match(line)
            || is_before_options(&lines[at..])
    };
    let mut length = 0;
    for (at, line) in lines.iter().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        if !belongs(at) {
            break;
        }
        length = at + 1;
    }
    length
}

fn is_indented(line: &str) -> bool {
    line.starts_with([' ', '\t']) && !line.trim_start().starts_with("at ")
}

/// A heading such as `Global Flags:` or `positional arguments:`.
static HEADER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[A-Za-z ()-]{1,39}:\s*$"));

fn is_header(line: &str) -> bool {
    HEADER.is_match(line) && ranking::rank(line).is_none()
}

/// A line that explains how to get help, as the last line of many usage texts does.
static HINT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"^(Use ["']|Try ['`]|For more information).*help"#));

/// The start of an option: `-c`, `--config`.
static OPTION: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[ \t]\s*--?[\p{Alphabetic}\p{N}]"));

/// Whether the lines start with a description that is followed by options.
fn is_before_options(lines: &[&str]) -> bool {
    for line in lines.iter().take(LONGEST_DESCRIPTION) {
        if OPTION.is_match(line) {
            return true;
        }
        if ranking::rank(line).is_some() || ranking::level(line).is_some() {
            return false;
        }
    }
    false
}
