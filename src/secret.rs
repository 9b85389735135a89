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

/// Takes secrets out of texts that others wrote: logs and diagnostics.
#[derive(Clone, Default)]
pub struct Mask(Vec<Secret>);

impl Mask {
    /// What stands in the place of a secret.
    pub const PLACEHOLDER: &'static str = "***";

    /// A mask for `secrets`. An empty one hides nothing and is passed over.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let secrets = secrets.into_iter();
        Self(
            secrets
                .filter(|secret| !secret.expose().is_empty())
                .collect(),
        )
    }

    /// `text` without the secrets.
    pub fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.expose(), Self::PLACEHOLDER)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_hides_every_occurrence() {
        let mask = Mask::new([Secret::new("s3cret"), Secret::new("")]);
        assert_eq!(mask.apply("a s3cret and s3cret"), "a *** and ***");
    }
}
