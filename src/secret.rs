//! A text that must not be seen: no `Debug`, no `Display`, nothing that a log or a report could pick up by accident.

/// A token or key. Whoever needs its text says so by [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; it goes where the secret is used, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
