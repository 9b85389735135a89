//! A matrix file in the form in which errors may quote it: the values of all keys with secret names are masked.
//!
//! This module has its own scanner, because errors usually quote text that the parser couldn't read. When in doubt, the
//! scanner masks too much.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Match, Regex};

use crate::secret::{Mask, Secret, is_secret_name};

/// The text without secrets, and the mask for messages about it.
pub(super) struct Redacted {
    /// The masked text. Its lines are as long as those of the original.
    pub(super) text: String,
    pub(super) mask: Mask,
}

impl Redacted {
    pub(super) fn of(text: &str) -> Self {
        let mut hidden = Scanner::hidden(text);
        let secrets = hidden.iter();
        let mask = Mask::new(secrets.map(|range| Secret::new(&text[range.clone()])));
        // The same values may also occur elsewhere in the file.
        hidden.extend(mask.ranges(text));
        let mut bytes = text.as_bytes().to_vec();
        for range in hidden {
            for byte in &mut bytes[range] {
                if !matches!(byte, b'\n' | b'\r') {
                    *byte = b'*';
                }
            }
        }
        Self {
            text: String::from_utf8_lossy(&bytes).into_owned(),
            mask,
        }
    }
}

/// The tokens: strings, comments, bare words and all other characters. A string that isn't closed ends with its line,
/// or with the text if it may have several lines.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    let long = r#""""(?s:\\.|[^\\])*?(?:"{3,5}|\\?\z)|'''(?s:.)*?(?:'{3,5}|\z)"#;
    let short = r#""(?:\\.|[^"\\\n])*"?|'[^'\n]*'?"#;
    let token = format!(r"{long}|{short}|#.*|[\w-]+|(?s:.)");
    Regex::new(&token).expect("the pattern is a valid regular expression")
});

/// An open array or inline table.
#[derive(Clone, Copy)]
struct Frame {
    is_table: bool,
    is_secret: bool,
}

struct Scanner<'t> {
    text: &'t str,
    /// The arrays and inline tables that are open.
    frames: Vec<Frame>,
    /// Whether all keys below the current header are secret.
    is_header_secret: bool,
    /// Whether the current key or value is secret.
    is_secret: bool,
    /// Whether the current key is complete, so that a value follows.
    is_value: bool,
    hidden: Vec<Range<usize>>,
}

impl<'t> Scanner<'t> {
    /// The ranges of all secret values in `text`.
    fn hidden(text: &'t str) -> Vec<Range<usize>> {
        let mut scanner = Self {
            text,
            frames: Vec::new(),
            is_header_secret: false,
            is_secret: false,
            is_value: false,
            hidden: Vec::new(),
        };
        let mut position = 0;
        while let Some(token) = TOKEN.find_at(text, position) {
            position = scanner.read(token);
        }
        scanner.hidden
    }

    /// Reads a token. Returns the start of the next one.
    fn read(&mut self, token: Match<'_>) -> usize {
        match (token.as_str(), self.frames.last().copied()) {
            ("\n", None) => self.begin(self.is_header_secret, false),
            ("[", None) if self.starts_line(token.start()) => return self.header(token.start()),
            ("[" | "{", _) => {
                let (is_table, is_secret) = (token.as_str() == "{", self.is_secret);
                self.frames.push(Frame {
                    is_table,
                    is_secret,
                });
                self.begin(is_secret, !is_table);
            }
            ("]" | "}", _) => {
                let closed = self.frames.pop();
                self.is_secret |= closed.is_some_and(|closed| closed.is_secret);
                self.is_value = true;
            }
            (",", Some(frame)) => self.begin(frame.is_secret, !frame.is_table),
            ("=", _) => self.is_value = true,
            (string, _) if string.starts_with(['"', '\'']) => self.string(token),
            (text, _) if text.starts_with('#') || text.trim().is_empty() => {}
            _ => return self.bare(token),
        }
        token.end()
    }

    /// Begins a key, or the value of an element of an array.
    fn begin(&mut self, is_secret: bool, is_value: bool) {
        (self.is_secret, self.is_value) = (is_secret, is_value);
    }

    fn starts_line(&self, position: usize) -> bool {
        let before = self.text[..position].trim_end_matches([' ', '\t']);
        before.is_empty() || before.ends_with('\n')
    }

    /// Reads a header such as `[a.b]`, up to the end of the line. The name of a config variant isn't checked.
    fn header(&mut self, start: usize) -> usize {
        let end = self.find(start, &['\n']);
        let names = self.text[start..end].split(['[', ']', '.', '"', '\'', ' ']);
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        let variant = if names.first() == Some(&"config") {
            2
        } else {
            0
        };
        let mut names = names.iter().skip(variant);
        self.is_header_secret = names.any(|name| is_secret_name(name));
        end
    }

    /// Reads a string. A string after a secret name is secret even if there is no `=` between them.
    fn string(&mut self, token: Match<'_>) {
        let long = ["\"\"\"", "'''"];
        let is_long = long.iter().any(|quotes| token.as_str().starts_with(quotes));
        let (quotes, content) = token.as_str().split_at(if is_long { 3 } else { 1 });
        let content = content.strip_suffix(quotes).unwrap_or(content);
        if self.is_secret {
            let start = token.start() + quotes.len();
            self.hidden.push(start..start + content.len());
        } else if !self.is_value {
            self.is_secret = is_secret_name(content);
        }
    }

    /// Reads a bare word or a symbol: a part of a key, or a part of a value that isn't a string.
    fn bare(&mut self, token: Match<'_>) -> usize {
        let is_part_of_key = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        self.is_value |= !token.as_str().starts_with(is_part_of_key);
        if self.is_value && self.is_secret {
            let ends: &[char] = match self.frames.last() {
                Some(_) => &['\n', ',', ']', '}', '#'],
                None => &['\n'],
            };
            let end = self.find(token.start(), ends);
            self.hidden.push(token.start()..end);
            return end;
        }
        let is_secret = self.is_secret || is_secret_name(token.as_str());
        self.is_secret = is_secret && token.as_str() != "from-env";
        token.end()
    }

    /// The offset of the first of `characters` from `start` on, or the end of the text.
    fn find(&self, start: usize, characters: &[char]) -> usize {
        let found = self.text[start..].find(characters);
        found.map_or(self.text.len(), |offset| start + offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(text: &str) -> String {
        Redacted::of(text).text
    }

    #[test]
    fn values_with_secret_names_are_masked_everywhere() {
        for (text, expected) in [
            ("API_TOKEN = \"abc\"", "API_TOKEN = \"***\""),
            (
                "a = { key = 'abc', b = 'c' }",
                "a = { key = '***', b = 'c' }",
            ),
            (
                "secrets = [\"abc\", # no\n 'de']",
                "secrets = [\"***\", # no\n '**']",
            ),
            (
                "[config.my-key.env]\na = 'b'",
                "[config.my-key.env]\na = 'b'",
            ),
            (
                "[config.x.agent.keys]\na = 'b'\n[run]\na = 'b'",
                "[config.x.agent.keys]\na = '*'\n[run]\na = 'b'",
            ),
            (
                "x.\"api key\".y = { z = ['q'] }",
                "x.\"api key\".y = { z = ['*'] }",
            ),
            ("key = { from-env = 'NAME' }", "key = { from-env = 'NAME' }"),
            (
                "key = \"\"\"a\nb\"\"\"\nc = 'd'",
                "key = \"\"\"*\n*\"\"\"\nc = 'd'",
            ),
            ("key = \"a\\\"b\"\nc = 'd'", "key = \"****\"\nc = 'd'"),
            ("key = 1234\nc = 1234", "key = ****\nc = ****"),
        ] {
            assert_eq!(redacted(text), expected, "{text}");
        }
    }

    #[test]
    fn text_that_is_not_toml_is_masked_generously() {
        for (text, expected) in [
            ("API_TOKEN: abc\nb = c", "API_TOKEN* ***\nb = c"),
            ("API_TOKEN = a b c # d", "API_TOKEN = *********"),
            ("API_TOKEN = \"a\"b\nc", "API_TOKEN = \"*\"*\nc"),
            ("API_TOKEN = \"abc\nd = 'e'", "API_TOKEN = \"***\nd = 'e'"),
            (
                "env = { API_TOKEN = \"a\" b, c = d }",
                "env = { API_TOKEN = \"*\" *, c = d }",
            ),
            ("API_TOKEN = '''a\nb", "API_TOKEN = '''*\n*"),
            ("API_TOKEN = \"\"\"a\nb\\", "API_TOKEN = \"\"\"*\n**"),
            (
                "API_TOKENS = [{ from-env = 'A' } 'abc']",
                "API_TOKENS = [{ from-env = 'A' } '***']",
            ),
            ("API_TOKEN \"abc\"", "API_TOKEN \"***\""),
            ("API_TOKEN = ] abc", "API_TOKEN = ] ***"),
            (
                "a = [\"b\"\n[config.x.env]\nAPI_TOKEN = \"abc\"",
                "a = [\"b\"\n[config.x.env]\nAPI_TOKEN = \"***\"",
            ),
        ] {
            let shown = redacted(text);
            for (line, hidden) in shown.lines().zip(expected.lines()) {
                assert_eq!(
                    line.replace("* *", "***"),
                    hidden.replace("* *", "***"),
                    "{text}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn masking_keeps_the_length_of_lines(text in "(key|secrets|[a-z]| |=|\"|'|\\[|\\]|\\{|\\}|,|#|\n|\r|\\\\|ä|\\.){0,60}") {
            let shown = redacted(&text);
            let lengths = |text: &str| text.split('\n').map(str::len).collect::<Vec<_>>();
            prop_assert_eq!(lengths(&shown), lengths(&text));
        }
    }
}
