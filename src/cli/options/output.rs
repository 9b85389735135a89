//! How commands print their output.

use clap::{Args, ValueEnum};

use crate::report::ColorChoice;

/// The options of all commands that print.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(in crate::cli) struct OutputOptions {
    /// When to use color: auto, always or never
    #[arg(
        long,
        env = "E2E_MATRIX_COLOR",
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub(in crate::cli) color: Color,
}

/// When to use color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}
