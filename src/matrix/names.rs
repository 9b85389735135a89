//! Macros for types with a name.

/// Implements `as_str` and `Display` for newtypes of text.
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
