//! The budget of the page. Texts that don't fit are left out and counted.

use std::collections::BTreeMap;

use crate::report::text;

/// How many bytes of text the page may have. GitHub shows nothing if a step's summary is larger than 1 MiB. The rest is
/// for headings and for the note that says how much was left out.
const LIMIT: usize = 900 << 10;

/// The remaining bytes. The most important texts are admitted first.
pub(super) struct Budget {
    bytes: usize,
    left_out: BTreeMap<&'static str, usize>,
}

impl Budget {
    /// The budget of an empty page.
    pub(super) const fn new() -> Self {
        Self {
            bytes: LIMIT,
            left_out: BTreeMap::new(),
        }
    }

    /// `text`, if there is room for it. Otherwise, counts it as a `noun` that is left out, and returns nothing.
    pub(super) fn admit(&mut self, noun: &'static str, text: String) -> String {
        if let Some(rest) = self.bytes.checked_sub(text.len()) {
            self.bytes = rest;
            text
        } else {
            *self.left_out.entry(noun).or_default() += 1;
            String::new()
        }
    }

    /// The note that says how much was left out; empty if everything fits.
    pub(super) fn note(&self) -> String {
        if self.left_out.is_empty() {
            return String::new();
        }
        let counts = self.left_out.iter();
        let counts = counts.map(|(noun, count)| text::counted(*count, noun));
        let counts = counts.collect::<Vec<_>>().join(", ");
        format!(
            "> **note**: left out because GitHub doesn't show summaries larger than 1 MiB: {counts}. See `report.html` in the run's folder.\n\n"
        )
    }
}
