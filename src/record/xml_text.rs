//! Text that is safe in every report, and the only text that can get into the JUnit file.
//!
//! Logs contain escape sequences, NUL and other characters that XML forbids, and a single one makes the whole file
//! unreadable. Complete escape sequences are removed. Each remaining forbidden or control character is replaced with
//! U+FFFD, so that readers see that something was removed. An escape sequence without an end hides no text.

use std::sync::LazyLock;

use regex::Regex;

use crate::matrix::text_types;

/// The replacement for a character that can't be shown.
const REPLACEMENT: &str = "\u{FFFD}";

/// A complete escape sequence. Existing crates that strip escape sequences also drop the text after a sequence that has
/// no end.
///
/// As on a terminal, an ESC ends the text of an unfinished title or link. Without this rule, each of many unfinished
/// sequences would be searched up to the end of the line, which takes quadratic time.
static ESCAPE_SEQUENCE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?x)\x1B (?:
        \[ [\x20-?]* [@-~]                                # control sequence, such as a color
        | [\]PX^_] [^\x07\x1B\n\r]* (?: \x07 | \x1B\\ )   # window title or link, up to BEL or ESC \
        | [\x20-/]+ [0-~]                                 # such as ESC ( B
        | [0-OQ-WYZ\\`-~]                                 # any other single character
    )";
    Regex::new(pattern).expect("the pattern is valid")
});

/// Text that XML 1.0 can contain and a terminal can show: no escape sequences, and no control characters except tab and
/// line feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XmlText(String);

impl XmlText {
    /// Cleans `raw`. Line endings become `\n`, as in every XML reader.
    pub fn new(raw: &str) -> Self {
        // Almost all texts are clean already.
        if is_clean(raw) {
            return Self(raw.to_owned());
        }
        let text = ESCAPE_SEQUENCE.replace_all(raw, "");
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        Self(text.replace(|character| !is_showable(character), REPLACEMENT))
    }

    /// The text as an owned string.
    pub fn into_string(self) -> String {
        self.0
    }

    /// The text on one line, for an XML attribute, in which readers turn line ends and tabs into spaces.
    pub fn attribute(&self) -> String {
        self.0.replace(['\n', '\t'], " ")
    }
}

text_types!(XmlText);

/// `raw` cleaned in the same way, for reports in formats other than XML.
pub fn clean(raw: &str) -> String {
    XmlText::new(raw).into_string()
}

/// Whether cleaning `raw` would change nothing.
pub fn is_clean(raw: &str) -> bool {
    raw.chars().all(is_showable)
}

/// Whether `character` is allowed. XML 1.0 forbids the C0 control characters except tab and line ends, and two
/// non-characters; a terminal would interpret C1 and DEL as commands.
fn is_showable(character: char) -> bool {
    match character {
        '\t' | '\n' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        other => !other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_are_removed_and_the_text_stays() {
        for (raw, clean) in [
            ("\u{1B}[1;31mred\u{1B}[0m", "red"),
            ("\u{1B}]0;title\u{7}text", "text"),
            ("\u{1B}]8;;http://x\u{1B}\\link\u{1B}]8;;\u{1B}\\", "link"),
            ("\u{1B}(Bplain", "plain"),
            ("\u{1B}[2K\rline", "\nline"),
            ("\u{1B}]never ends", "\u{FFFD}]never ends"),
            ("\u{1B}]0;ti\u{1B}[1mtle\u{7}", "\u{FFFD}]0;title\u{FFFD}"),
            ("\u{1B}", "\u{FFFD}"),
            ("\u{1B}[é", "\u{FFFD}[é"),
        ] {
            assert_eq!(XmlText::new(raw).as_str(), clean, "{raw:?}");
        }
    }

    #[test]
    fn characters_that_xml_forbids_are_replaced_visibly() {
        let text = XmlText::new("a\0b\u{FFFF}c\u{FFFE}d\u{8}e\u{9B}f");
        assert_eq!(
            text.as_str(),
            "a\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}e\u{FFFD}f"
        );
    }

    #[test]
    fn line_ends_are_line_feeds() {
        assert_eq!(XmlText::new("a\r\nb\rc\n\td").as_str(), "a\nb\nc\n\td");
        assert_eq!(XmlText::new("a\r\nb\tc").attribute(), "a b c");
    }

    proptest! {
        #[test]
        fn cleaning_is_idempotent(raw in any::<String>()) {
            let once = XmlText::new(&raw);
            prop_assert_eq!(&XmlText::new(once.as_str()), &once);
        }
    }
}
