//! A text with the wildcards `*` (any text, including none) and `?` (one character), matched as a whole.

/// A pattern. Without wildcards, it matches only itself.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    is_wild: bool,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_wild: text.contains(['*', '?']),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it contains wildcards.
    pub(super) fn is_wild(&self) -> bool {
        self.is_wild
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        if self.is_wild {
            matches_wild(self.text.as_bytes(), text.as_bytes())
        } else {
            self.text == text
        }
    }
}

/// Backtracks only to the last `*`, so that a hostile pattern costs at most pattern × text.
///
/// Works on bytes, because ids, config names and tags are ASCII.
fn matches_wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                retry = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            Some(_) | None => {
                let Some((star, taken)) = retry else {
                    return false;
                };
                (at_pattern, at_text) = (star, taken + 1);
            }
        }
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_text_and_for_one_character() {
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
    fn many_stars_stay_cheap() {
        let pattern = Pattern::new(&format!("{}b", "a*".repeat(200)));
        assert!(!pattern.matches(&"a".repeat(5000)));
    }
}
