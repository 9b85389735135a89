//! How commands print their output.

use clap::{Args, ValueEnum};

use crate::report::TerminalInfo;

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
    pub(in crate::cli) color: ColorChoice,
}

/// When to use color.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Whether to use color on `terminal`.
    pub(in crate::cli) const fn on(self, terminal: TerminalInfo) -> bool {
        match self {
            Self::Auto => terminal.shows_color(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}
