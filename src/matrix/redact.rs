//! A matrix file in the form in which errors may quote it: the values of all keys with secret names are masked.
//!
//! This module has its own scanner, because errors usually quote text that the parser couldn't read. When in doubt, the
//! scanner masks too much.

use std::ops::Range;

use crate::secret::{Mask, Secret, is_secret_name};

/// The text without secrets, and the mask for messages about it.
pub(super) struct Redacted {
    /// The masked text. Its lines are as long as those of the original.
    pub(super) text: String,
    pub(super) mask: Mask,
}

impl Redacted {
    pub(super) fn of(text: &str) -> Self {
        let mut hidden = Scanner::new(text).hidden();
        let secrets = || hidden.iter().map(|range| Secret::new(&text[range.clone()]));
        let mask = Mask::new(secrets());
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

/// An open array or inline table.
#[derive(Clone, Copy)]
struct Frame {
    is_table: bool,
    is_secret: bool,
}

struct Scanner<'t> {
    text: &'t str,
    position: usize,
    hidden: Vec<Range<usize>>,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            position: 0,
            hidden: Vec::new(),
        }
    }

    /// The ranges of all secret values.
    fn hidden(mut self) -> Vec<Range<usize>> {
        let mut header = false;
        while let Some(c) = self.peek() {
            match c {
                c if c.is_whitespace() => self.skip(),
                '#' => self.line(false),
                '[' => header = self.header(),
                _ => {
                    let is_secret = self.key(header);
                    self.value(is_secret);
                    self.line(is_secret);
                }
            }
        }
        self.hidden
    }

    /// Reads a header such as `[a.b]`. Returns whether all keys below it are secret. The name of a config variant isn't
    /// checked.
    fn header(&mut self) -> bool {
        let header = self.take_while(|c| c != '\n');
        let header = &self.text[header];
        let names = header.split(['[', ']', '.', '"', '\'', ' ']);
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        let own = if names.first() == Some(&"config") {
            2
        } else {
            0
        };
        names.iter().skip(own).any(|name| is_secret_name(name))
    }

    /// Reads a key and the `=` after it. Returns whether the value is secret. Anything else in place of `=` belongs to
    /// the value.
    fn key(&mut self, mut is_secret: bool) -> bool {
        while let Some(c) = self.peek() {
            match c {
                '=' => {
                    self.skip();
                    break;
                }
                '.' | ' ' | '\t' => self.skip(),
                '"' | '\'' => {
                    let content = self.string();
                    is_secret |= is_secret_name(&self.text[content]);
                }
                c if is_bare(c) => {
                    let name = self.take_while(is_bare);
                    let name = &self.text[name];
                    is_secret = name != "from-env" && (is_secret || is_secret_name(name));
                }
                _ => break,
            }
        }
        is_secret
    }

    /// Reads a value, with everything nested in it.
    fn value(&mut self, is_secret: bool) {
        let mut frames: Vec<Frame> = Vec::new();
        let mut is_secret = is_secret;
        loop {
            let frame = frames.last().copied();
            let Some(c) = self.peek() else { return };
            match c {
                '\n' if frame.is_none() => return,
                '#' => self.line(false),
                '"' | '\'' => {
                    let content = self.string();
                    self.hide(is_secret, content);
                }
                '[' | '{' => {
                    self.skip();
                    let frame = Frame {
                        is_table: c == '{',
                        is_secret,
                    };
                    frames.push(frame);
                    is_secret = self.element(frame);
                }
                ']' | '}' => {
                    self.skip();
                    let closed = frames.pop();
                    is_secret = closed.is_some_and(|closed| closed.is_secret);
                }
                ',' => {
                    self.skip();
                    if let Some(frame) = frame {
                        is_secret = self.element(frame);
                    }
                }
                c if c.is_whitespace() => self.skip(),
                _ => {
                    let ends = |c: char| c == '\n' || (frame.is_some() && ",]}#".contains(c));
                    let value = self.take_while(|c| !ends(c));
                    self.hide(is_secret, value);
                }
            }
        }
    }

    /// Reads the key of the next element of an inline table, if it has one. Returns whether the element is secret.
    fn element(&mut self, frame: Frame) -> bool {
        loop {
            match self.peek() {
                _ if !frame.is_table => return frame.is_secret,
                Some('#') => self.line(false),
                Some(c) if c.is_whitespace() => self.skip(),
                Some('}') | None => return frame.is_secret,
                Some(_) => return self.key(frame.is_secret),
            }
        }
    }

    /// Reads a string of any kind, up to its end, the end of the line or the end of the text. Returns the range of its
    /// content.
    fn string(&mut self) -> Range<usize> {
        let rest = self.rest();
        let mut delimiters = ["\"\"\"", "'''", "\"", "'"].into_iter();
        let delimiter = delimiters.find(|delimiter| rest.starts_with(delimiter));
        let delimiter = delimiter.unwrap_or_default();
        self.position += delimiter.len();
        let start = self.position;
        loop {
            let (rest, content) = (self.rest(), start..self.position);
            if rest.is_empty() || (delimiter.len() == 1 && rest.starts_with('\n')) {
                return content;
            }
            if rest.starts_with(delimiter) {
                self.position += delimiter.len();
                return content;
            }
            self.skip();
            let is_escape = delimiter.starts_with('"') && rest.starts_with('\\');
            if is_escape && self.peek() != Some('\n') {
                self.skip();
            }
        }
    }

    /// Reads the rest of the line, and masks it if `hide` is set.
    fn line(&mut self, hide: bool) {
        let line = self.take_while(|c| c != '\n');
        self.hide(hide, line);
    }

    fn hide(&mut self, is_secret: bool, range: Range<usize>) {
        if is_secret && !range.is_empty() {
            self.hidden.push(range);
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self) {
        self.position += self.peek().map_or(0, char::len_utf8);
    }

    /// Skips all characters that meet `condition`. Returns their range.
    fn take_while(&mut self, condition: impl Fn(char) -> bool) -> Range<usize> {
        let start = self.position;
        let end = self.rest().find(|c| !condition(c));
        self.position = end.map_or(self.text.len(), |end| start + end);
        start..self.position
    }
}

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
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
