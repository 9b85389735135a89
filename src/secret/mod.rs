//! Secrets. The type implements neither `Debug` nor `Display`, so that no secret gets into a log or report by accident.

use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use parking_lot::RwLock;

mod forms;

/// A token or key. Code that needs the text has to call [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The length of the shortest secret that is masked, in bytes. A shorter one would match everywhere.
    pub const SHORTEST: usize = 4;
    /// The same for values that are secret only because of where they were found, and for each line of a longer value.
    const SHORTEST_GUESSED: usize = 6;

    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Wraps text that is secret only because of where it was found; `None` if the text is too short to be
    /// distinguished from unrelated text.
    pub fn guessed(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (text.trim().len() >= Self::SHORTEST_GUESSED).then_some(Self(text))
    }

    /// The text itself. It must be passed only to the code that uses the secret.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is too short to be masked.
    pub fn is_too_short(&self) -> bool {
        self.0.trim().len() < Self::SHORTEST
    }

    /// The text in all forms in which it is masked. If it has several lines, each line that is long enough is also
    /// masked separately, because logs are split into lines.
    fn forms(&self) -> BTreeSet<String> {
        let lines = self.0.lines().filter_map(|line| Self::guessed(line.trim()));
        let lines: Vec<Self> = lines.collect();
        let whole = [self.0.as_str(), self.0.trim()];
        let texts = whole.into_iter().chain(lines.iter().map(Self::expose));
        texts.flat_map(forms::of).collect()
    }
}

/// Masks secrets in text. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mask(Option<AhoCorasick>);

impl Mask {
    /// The replacement for a secret.
    pub const PLACEHOLDER: &'static str = "***";

    /// A mask for `secrets` in all of their forms. Secrets that are too short are ignored.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let forms: BTreeSet<String> = secrets
            .into_iter()
            .filter(|secret| !secret.is_too_short())
            .flat_map(|secret| secret.forms())
            .collect();
        if forms.is_empty() {
            return Self::default();
        }
        let automaton = AhoCorasick::new(forms)
            .unwrap_or_else(|error| unreachable!("fewer than 2^31 bytes of secrets: {error}"));
        Self(Some(automaton))
    }

    /// `text` with all secrets masked.
    pub fn apply(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for range in self.ranges(text) {
            masked.push_str(&text[end..range.start]);
            masked.push_str(Self::PLACEHOLDER);
            end = range.end;
        }
        masked + &text[end..]
    }

    /// The ranges of `text` that contain secrets, in order. Overlapping ranges are merged, so that no part of a secret
    /// remains.
    pub fn ranges(&self, text: &str) -> Vec<Range<usize>> {
        let Some(automaton) = &self.0 else {
            return Vec::new();
        };
        let found = automaton.find_overlapping_iter(text);
        let mut found: Vec<Range<usize>> = found.map(|found| found.range()).collect();
        found.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in found {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                Some(_) | None => merged.push(range),
            }
        }
        merged
    }
}

/// Words in the names of secret values.
const SECRET_NAMES: [&str; 4] = ["token", "secret", "password", "key"];
/// Words that contain one of [`SECRET_NAMES`], but don't indicate a secret.
const PUBLIC_WORDS: [&str; 3] = ["public_key", "keyring", "keepalive"];
/// Endings of names whose values only refer to secrets or count them.
const PUBLIC_ENDS: [&str; 5] = ["_file", "_path", "_dir", "_url", "_count"];
/// Names whose values are only names: that of a secret in the agent's configuration, and that of a key in `[deploy]`.
const PUBLIC_NAMES: [&str; 2] = ["secret_key", "config-key"];

/// Whether the value of a variable or configuration key called `name` is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let mut words = name.to_ascii_lowercase().replace('-', "_");
    if PUBLIC_NAMES.contains(&name) || PUBLIC_ENDS.iter().any(|end| words.ends_with(end)) {
        return false;
    }
    for word in PUBLIC_WORDS {
        words = words.replace(word, "");
    }
    SECRET_NAMES.iter().any(|word| words.contains(word))
}

/// The mask for everything that this process writes besides a run's events: its own log, errors and panics.
static PROCESS: RwLock<Mask> = RwLock::new(Mask(None));

/// Sets the mask for this process's own log, errors and panics.
pub fn hide_in_log(mask: &Mask) {
    *PROCESS.write() = mask.clone();
}

/// The mask for this process's own log, errors and panics.
pub fn log_mask() -> Mask {
    PROCESS.read().clone()
}

#[cfg(test)]
mod tests;
