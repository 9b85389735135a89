//! Types with a name.

/// The text isn't a valid name. The message states the rule that it violates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(String);

impl NameError {
    pub(super) fn new(rule: impl Into<String>) -> Self {
        Self(rule.into())
    }
}

/// Whether `text` starts with a lowercase letter, followed only by lowercase letters, digits and characters in
/// `further`.
pub(super) fn is_lowercase_name(text: &str, further: &str) -> bool {
    let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || further.contains(c);
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(is_valid)
}

/// Implements `as_str` and `Display` for newtypes around a string.
macro_rules! text_types {
    ($($type:ident),+) => {$(
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(&self.0)
            }
        }
    )+};
}
pub(crate) use text_types;

/// Declares an enum together with the names of its variants.
macro_rules! named {
    ($(#[$about:meta])* pub enum $type:ident { $($(#[$variant_about:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$about])*
        pub enum $type {
            $($(#[$variant_about])* $variant,)+
        }

        impl $type {
            /// All variants, in order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Each variant with its name, in order.
            pub const NAMES: [(&'static str, Self); Self::ALL.len()] = [$(($name, Self::$variant)),+];

            /// The variant with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                let mut names = Self::NAMES.into_iter();
                names.find_map(|(known, variant)| (known == name).then_some(variant))
            }

            /// The name in files and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.name())
            }
        }
    };
}
pub(crate) use named;
