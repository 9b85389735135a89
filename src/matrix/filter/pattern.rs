//! Patterns with the wildcards `*` (any text, including none) and `?` (one character). A pattern must match the whole
//! text.

use wildmatch::WildMatch;

/// A pattern. Without wildcards, it matches only itself.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    matcher: WildMatch,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            matcher: WildMatch::new(text),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern contains wildcards.
    pub(super) fn is_wild(&self) -> bool {
        self.text.contains(['*', '?'])
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.matcher.matches(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_any_text_and_one_character() {
        let matching = [
            ("fast", "fast"),
            ("*", ""),
            ("*", "anything"),
            ("k8s-1.3?", "k8s-1.30"),
            ("k8s-1.*-n3-*", "k8s-1.30-n3-fast"),
            ("*a*b*", "xxaxxbxx"),
            ("a**b", "ab"),
        ];
        for (pattern, text) in matching {
            assert!(Pattern::new(pattern).matches(text), "{pattern} {text}");
        }
        let differing = [
            ("k8s-1.3", "k8s-1.30"),
            ("k8s-1.3?", "k8s-1.3"),
            ("?", ""),
            ("*b", "abc"),
            ("a*b*c", "acb"),
        ];
        for (pattern, text) in differing {
            assert!(!Pattern::new(pattern).matches(text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_wildcards_do_not_take_long() {
        let pattern = Pattern::new(&format!("{}b", "a*".repeat(200)));
        assert!(!pattern.matches(&"a".repeat(5000)));
    }
}
