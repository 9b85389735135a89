//! Texts that must not be seen: no `Debug`, no `Display`, nothing that a log or a report could pick up by accident.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// A token or key. Code that needs its text says so by [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. It must reach nothing but the place where the secret is used.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether masking the text would hide more than the secret: it is short, a number or a truth value.
    fn is_common(&self) -> bool {
        let text = self.0.trim();
        text.len() < SHORTEST || text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok()
    }

    /// The text in each form in which it is masked. Each long enough line of a longer text is masked on its own, too, because
    /// logs are cut at lines.
    fn forms(&self) -> BTreeSet<String> {
        let mut forms = BTreeSet::new();
        for text in std::iter::once(self.0.as_str()).chain(self.0.lines()) {
            if Self::new(text).is_common() {
                continue;
            }
            let json = serde_json::Value::from(text).to_string();
            // Without its own quotes: it may be a part of a longer text.
            forms.insert(json[1..json.len() - 1].to_owned());
            forms.insert(text.to_owned());
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                forms.insert(engine.encode(text));
            }
        }
        forms
    }
}

/// Shorter values are not masked: they would be found everywhere.
const SHORTEST: usize = 6;

/// Takes secrets out of texts. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mask(Option<Arc<AhoCorasick>>);

impl Mask {
    /// What stands in the place of a secret.
    pub const PLACEHOLDER: &'static str = "***";

    /// A mask for `secrets`: each as it is, escaped as in JSON, and in base64. Values that are too short or too common to be
    /// masked are passed over.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let forms: BTreeSet<String> = secrets
            .into_iter()
            .filter(|secret| !secret.is_common())
            .flat_map(|secret| secret.forms())
            .collect();
        if forms.is_empty() {
            return Self::default();
        }
        // The longest match wins, so that no rest of a secret that contains another one stays.
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(forms);
        match automaton {
            Ok(automaton) => Self(Some(Arc::new(automaton))),
            Err(error) => unreachable!("fewer than 2^31 bytes of secrets: {error}"),
        }
    }

    /// Whether there is a secret in `text`.
    pub fn finds(&self, text: &str) -> bool {
        let automaton = self.0.as_ref();
        automaton.is_some_and(|automaton| automaton.is_match(text))
    }

    /// `text` without the secrets.
    pub fn apply(&self, text: &str) -> String {
        let Some(automaton) = &self.0 else {
            return text.to_owned();
        };
        let mut masked = String::with_capacity(text.len());
        automaton.replace_all_with(text, &mut masked, |_, _, masked| {
            masked.push_str(Self::PLACEHOLDER);
            true
        });
        masked
    }
}

/// Names that say that the value is a secret.
const SECRET_NAMES: [&str; 4] = ["token", "secret", "password", "key"];
/// Names that contain such a word, but whose value only leads to a secret or may be seen.
const PUBLIC_NAMES: [&str; 8] = [
    "secret_key",
    "public_key",
    "keyring",
    "keepalive",
    "_file",
    "_path",
    "_dir",
    "_url",
];

/// Whether the value of a variable or configuration key called `name` is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    says(&SECRET_NAMES) && !says(&PUBLIC_NAMES)
}

/// The mask for what this process writes outside of a run's events: its own log.
static PROCESS: RwLock<Mask> = RwLock::new(Mask(None));

/// Masks what `mask` hides in this process's own log from now on.
pub fn hide_in_log(mask: &Mask) {
    *PROCESS.write().unwrap_or_else(PoisonError::into_inner) = mask.clone();
}

/// The mask for this process's own log.
pub fn log_mask() -> Mask {
    PROCESS
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_hides_each_form_of_a_secret() {
        let mask = Mask::new([Secret::new("s3cret \"quoted\""), Secret::new("")]);
        let texts = [
            "s3cret \"quoted\"".to_owned(),
            r#"s3cret \"quoted\""#.to_owned(),
            STANDARD.encode("s3cret \"quoted\""),
            URL_SAFE_NO_PAD.encode("s3cret \"quoted\""),
        ];
        for text in texts {
            assert_eq!(mask.apply(&format!("a {text} b")), "a *** b");
            assert!(mask.finds(&text));
        }
    }

    #[test]
    fn nothing_is_left_of_a_secret_that_contains_another_one() {
        let mask = Mask::new([Secret::new("abcdef"), Secret::new("abcdefghij")]);
        assert_eq!(mask.apply("abcdefghij abcdef"), "*** ***");
    }

    #[test]
    fn each_line_of_a_long_secret_is_masked() {
        let mask = Mask::new([Secret::new("-----BEGIN-----\nfirst line\nx\n")]);
        assert_eq!(mask.apply("log: first line"), "log: ***");
        assert_eq!(mask.apply("x"), "x");
    }

    #[test]
    fn common_values_are_not_masked() {
        let mask = Mask::new(["true", "1234567", "short", " "].map(Secret::new));
        assert!(!mask.finds("true 1234567 short"));
    }

    #[test]
    fn names_say_what_is_secret() {
        for name in ["API_TOKEN", "db-password", "client.secret", "privateKey"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "secret_key",
            "TOKEN_FILE",
            "public-key",
            "interval",
            "tls_key_path",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
